<?php
// WEBHOOK_SECRET=whsec_... php verify.php ID TIMESTAMP SIGNATURE < body

/** Whether the body, as its raw bytes came (php://input), was signed with the secret in the last five minutes. */
function verify(string $secret, array $headers, string $body): bool
{
    [$id, $stamp, $given] = array_map(fn($name) => $headers["webhook-$name"] ?? '', ['id', 'timestamp', 'signature']);
    if (!preg_match('/^\d{1,18}$/D', $stamp) || abs(time() - (int) $stamp) > 300) {
        return false;
    }
    $key = base64_decode(substr($secret, strlen('whsec_')));
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$stamp.$body", $key, true));
    $good = false;
    foreach (explode(' ', $given) as $one) {
        $good = hash_equals($expected, $one) || $good;
    }
    return $good;
}

if (PHP_SAPI === 'cli') {
    $headers = array_combine(['webhook-id', 'webhook-timestamp', 'webhook-signature'], array_slice($argv, 1));
    $good = verify(getenv('WEBHOOK_SECRET'), $headers, file_get_contents('php://stdin'));
    echo $good ? "ok\n" : "refused\n";
    exit($good ? 0 : 1);
}
