//! A WebSocket over a connection: texts go out in small frames, each within its time, and closing takes no longer than it
//! may.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::frames::Closing;
use crate::config::limits::sockets as limits;

/// What came.
#[derive(Debug)]
pub(super) enum Came {
    /// A text.
    Text(Utf8Bytes),
    /// A sign of life.
    Life,
}

/// One socket's connection.
pub(super) struct Wire {
    socket: WebSocketStream<TcpStream>,
    send_time: Duration,
}

impl Wire {
    /// Over a connection whose handshake is done; `part` has come already.
    pub(super) async fn new(stream: TcpStream, part: &[u8], send_time: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits::READ_BYTES)
            .write_buffer_size(limits::WRITE_BYTES)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(limits::FRAME_BYTES))
            .max_frame_size(Some(limits::FRAME_BYTES));
        // An event must not wait for the answer to the one before, and who does not read shall not fill our memory.
        let tuned = stream
            .set_nodelay(true)
            .and_then(|()| socket2::SockRef::from(&stream).set_send_buffer_size(limits::KERNEL_BYTES));
        if let Err(error) = tuned {
            tracing::debug!(%error, "a socket can't be tuned");
        }
        let socket =
            WebSocketStream::from_partially_read(stream, part.to_vec(), Role::Server, Some(config)).await;
        Self { socket, send_time }
    }

    /// The next text or sign of life. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Came, Closing> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(Came::Text(text)),
            Some(Ok(Message::Binary(_))) => Err(Closing::BINARY),
            Some(Ok(Message::Close(frame))) => {
                Err(Closing::by_client(frame.map_or(1005, |frame| frame.code.into())))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Came::Life),
            Some(Err(error)) => Err(closing(&error)),
            None => Err(Closing::LOST),
        }
    }

    /// Puts a text on its way; [`Wire::flush`] sends what is still collected.
    pub(super) async fn text(&mut self, mut rest: Bytes) -> Result<(), Closing> {
        let mut kind = Data::Text;
        loop {
            let part = rest.split_to(rest.len().min(limits::PART_BYTES));
            let frame = Frame::message(part, OpCode::Data(kind), rest.is_empty());
            self.feed(Message::Frame(frame)).await?;
            if rest.is_empty() {
                return Ok(());
            }
            kind = Data::Continue;
        }
    }

    /// Sends a text at once.
    pub(super) async fn say(&mut self, text: String) -> Result<(), Closing> {
        self.text(text.into()).await?;
        self.flush().await
    }

    /// Asks whether the client lives.
    pub(super) async fn ping(&mut self) -> Result<(), Closing> {
        self.feed(Message::Ping(Bytes::new())).await?;
        self.flush().await
    }

    async fn feed(&mut self, message: Message) -> Result<(), Closing> {
        let fed = timeout(self.send_time, self.socket.feed(message)).await;
        fed.map_err(|_| Closing::SLOW)?.map_err(|error| closing(&error))
    }

    /// Sends what is collected.
    pub(super) async fn flush(&mut self) -> Result<(), Closing> {
        let flushed = timeout(self.send_time, self.socket.flush()).await;
        flushed.map_err(|_| Closing::SLOW)?.map_err(|error| closing(&error))
    }

    /// Tells why, and waits a while for the client to have heard it.
    pub(super) async fn close(mut self, closing: Closing, time: Duration) {
        if closing == Closing::LOST {
            return;
        }
        // Nobody is left to be told what goes wrong here.
        let _ = timeout(time, self.farewell(closing)).await;
    }

    async fn farewell(&mut self, closing: Closing) -> Result<(), Error> {
        let is_ours = super::frames::CLOSINGS.contains(&closing);
        if is_ours {
            let frame =
                CloseFrame { code: closing.code.into(), reason: Utf8Bytes::from_static(closing.reason) };
            self.socket.feed(Message::Close(Some(frame))).await?;
        }
        self.socket.flush().await?;
        let stream = self.socket.get_mut();
        stream.shutdown().await?;
        // What is still unread when a connection is dropped resets it, and the closing frame may be lost with that.
        let (mut scratch, mut dropped) = ([0; 512], 0);
        while dropped < limits::CLOSE_BYTES {
            match stream.read(&mut scratch).await? {
                0 => break,
                n => dropped += n,
            }
        }
        Ok(())
    }
}

fn closing(error: &Error) -> Closing {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. } | CapacityError::TooManyHeaders) => {
            Closing::TOO_LARGE
        }
        Error::Utf8(_) => Closing::NOT_TEXT,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closing::LOST,
        Error::Protocol(_) => Closing::PROTOCOL,
        _ => Closing::LOST,
    }
}
