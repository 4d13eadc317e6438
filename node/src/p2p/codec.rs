//! Messages on a stream: a length of four bytes, big endian, then strict CBOR. The length is capped before anything is
//! allocated, and what is allocated follows what has come: a length alone costs nothing.

use std::io;

use counterfoil_federation::message::{
    MESSAGE_BYTES_MAX, Request, Response, decode_request, decode_response, encode,
};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

/// Reads and writes the engine's messages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wire;

/// Bytes that are set aside before any of them has come.
const FIRST_BYTES: usize = 4096;

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!("a message of {length} bytes; {MESSAGE_BYTES_MAX} are allowed")));
    }
    let mut bytes = Vec::with_capacity(length.min(FIRST_BYTES));
    io.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| invalid(format!("a message of {} bytes is not sent", bytes.len())))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.close().await
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl Codec for Wire {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let request = decode_request(&read(io).await?).map_err(invalid)?;
        let is_hello = protocol.as_ref().contains("/hello/");
        if is_hello == matches!(request, Request::Hello(_)) {
            Ok(request)
        } else {
            Err(invalid("a request on the wrong protocol"))
        }
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        decode_response(&read(io).await?).map_err(invalid)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &encode(&request).map_err(invalid)?).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &encode(&response).map_err(invalid)?).await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn what_is_announced_too_long_or_ends_early_is_refused() {
        let announced = |length: usize, sent: usize| {
            let mut bytes = u32::try_from(length).unwrap().to_be_bytes().to_vec();
            bytes.resize(4 + sent, 7);
            block_on(read(&mut Cursor::new(bytes)))
        };
        assert_eq!(announced(3, 3).unwrap(), [7; 3]);
        assert_eq!(announced(3, 9).unwrap(), [7; 3], "what follows is not part of it");
        assert_eq!(announced(3, 2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(announced(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX).unwrap().len(), MESSAGE_BYTES_MAX);
        let refused = announced(MESSAGE_BYTES_MAX + 1, 0).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
