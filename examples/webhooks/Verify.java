// WEBHOOK_SECRET=whsec_... java Verify.java ID TIMESTAMP SIGNATURE < body
import java.security.MessageDigest;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Verify {
    /** Whether the body, as its raw bytes came, was signed with the secret in the last five minutes. */
    static boolean verify(String secret, String id, String stamp, String signatures, byte[] body) throws Exception {
        if (!stamp.matches("[0-9]{1,18}")
                || Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(stamp)) > 300) {
            return false;
        }
        byte[] key = Base64.getDecoder().decode(secret.substring("whsec_".length()));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + stamp + ".").getBytes("UTF-8"));
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes("UTF-8");
        boolean good = false;
        for (String one : signatures.split(" ")) {
            good |= MessageDigest.isEqual(expected, one.getBytes("UTF-8"));
        }
        return good;
    }

    public static void main(String[] all) throws Exception {
        byte[] body = System.in.readAllBytes();
        boolean good = verify(System.getenv("WEBHOOK_SECRET"), all[0], all[1], all[2], body);
        System.out.println(good ? "ok" : "refused");
        System.exit(good ? 0 : 1);
    }
}
