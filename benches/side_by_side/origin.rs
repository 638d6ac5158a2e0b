//! The application behind every gateway: a process of its own, so that its costs are not those of a gateway.

use crate::Failure;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::{env, io};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// On how many ports it listens, for those that balance.
const PORTS: usize = 4;

/// The running process, which ends with this.
pub(crate) struct Origin {
    child: Child,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Origin {
    pub(crate) fn spawn() -> Result<Self, Failure> {
        let mut child = Command::new(env::current_exe()?)
            .arg("origin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("the origin has no output")?;
        io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line)?;
        let addresses: Result<_, _> = line.split_whitespace().map(str::parse).collect();
        Ok(Self {
            child,
            addresses: addresses?,
        })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it answers to a body of this length, so that the sender knows that all of it arrived.
pub(crate) fn answer(length: usize) -> String {
    format!("{{\"received\":{length}}}")
}

/// The process itself. It ends when its standard input does.
pub(crate) fn main() -> Result<(), Failure> {
    let listeners: Result<Vec<_>, _> = (0..PORTS)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let listeners = listeners?;
    let mut line = String::new();
    for listener in &listeners {
        line += &format!("{} ", listener.local_addr()?);
    }
    println!("{line}");
    std::thread::spawn(|| {
        if let Err(error) = run(listeners) {
            eprintln!("the origin: {error}");
            std::process::exit(1);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn run(listeners: Vec<TcpListener>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut accepting = Vec::new();
        for listener in listeners {
            // A longer queue than std's: in a storm a gateway may connect a thousand times at once,
            // too.
            rustix::net::listen(&listener, 4096)?;
            listener.set_nonblocking(true)?;
            accepting.push(tokio::spawn(accept(tokio::net::TcpListener::from_std(
                listener,
            )?)));
        }
        for listener in accepting {
            listener.await?;
        }
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // Ignore the error: the connection was closed.
            tokio::spawn(async { drop(serve(stream).await) });
        }
    }
}

async fn serve(mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    loop {
        let (head, length) = loop {
            if let Some(found) = head(&buffer)? {
                break found;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.drain(..head + length);
        let body = answer(length);
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes()).await?;
    }
}

/// The length of a whole head, and that of the body behind it. What has no length gets no answer.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else {
        return Ok(None);
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    match length {
        Some(length) => Ok(Some((head, std::str::from_utf8(length.value)?.parse()?))),
        None if request.method == Some("GET") => Ok(Some((head, 0))),
        None => Err("a request without Content-Length".into()),
    }
}
