//! A registry that does what a test says, also what no registry should. HTTP/1.1, one request a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chapada_images::Digest;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fixture::Made;

/// What it does with a path.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Gives it, from where it is asked to.
    Serves(Vec<u8>),
    /// Gives it from the beginning, whatever is asked.
    ServesWhole(Vec<u8>),
    /// Breaks the connection after so many bytes of the rest, as often as it is asked.
    BreaksAfter(usize, Vec<u8>),
    /// Breaks once, and gives it from the beginning then, whatever is asked.
    BreaksOnce(usize, Vec<u8>),
    /// Says nothing at all.
    Hangs,
    /// One byte at a time, for ever.
    Drips,
    /// Bytes without end.
    Floods,
    /// This status, so many times, and the bytes afterwards.
    Fails {
        status: u16,
        times: usize,
        then: Vec<u8>,
    },
    Redirects(String),
    /// Gives it to who shows this authorization, and says this to others.
    Guards {
        shown: String,
        challenge: String,
        content: Vec<u8>,
    },
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

#[derive(Default)]
struct Script {
    does: HashMap<String, Does>,
    asked: Vec<Asked>,
}

pub(crate) struct Scripted {
    pub(crate) host: String,
    script: Arc<Mutex<Script>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let script = Arc::new(Mutex::new(Script::default()));
        let (mut tasks, shared) = (JoinSet::new(), script.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = shared.clone();
                connections.spawn(async move {
                    // A client that leaves early is part of most scripts.
                    let _ = serve(stream, &script).await;
                });
            }
        });
        Self { host, script, _tasks: tasks }
    }

    pub(crate) fn does(&self, path: impl Into<String>, does: Does) {
        self.script.lock().unwrap().does.insert(path.into(), does);
    }

    /// Has an image under a name and tag, and gives it as it should.
    pub(crate) fn has(&self, name: &str, tag: &str, image: &Made) {
        for target in [tag.to_owned(), Digest::of(&image.manifest).to_string()] {
            self.does(format!("/v2/{name}/manifests/{target}"), Does::Serves(image.manifest.clone()));
        }
        for blob in image.layers.iter().chain([&image.config]) {
            self.does(blob_path(name, blob), Does::Serves(blob.clone()));
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    pub(crate) fn times_asked(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host)
    }
}

pub(crate) fn blob_path(name: &str, blob: &[u8]) -> String {
    format!("/v2/{name}/blobs/{}", Digest::of(blob))
}

async fn serve(stream: TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let asked = read(&mut stream).await?;
    let path = asked.path.split('?').next().unwrap_or_default().to_owned();
    let does = {
        let mut script = script.lock().unwrap();
        script.asked.push(asked.clone());
        match script.does.get_mut(&path) {
            Some(does @ Does::BreaksOnce(..)) => {
                let Does::BreaksOnce(bytes, content) = does.clone() else { unreachable!() };
                *does = Does::ServesWhole(content.clone());
                Some(Does::BreaksAfter(bytes, content))
            }
            Some(Does::Fails { times, then, .. }) if *times == 0 => Some(Does::Serves(then.clone())),
            Some(does) => {
                let now = does.clone();
                if let Does::Fails { times, .. } = does {
                    *times -= 1;
                }
                Some(now)
            }
            None => None,
        }
    };
    answer(&mut stream, &asked, does).await?;
    stream.shutdown().await
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Asked { path, headers, body: String::from_utf8(body).unwrap() })
}

async fn answer(stream: &mut BufReader<TcpStream>, asked: &Asked, does: Option<Does>) -> std::io::Result<()> {
    let start = asked
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let start: usize = start.unwrap_or(0);
    let head = |content: &[u8]| {
        let rest = content.len() - start.min(content.len());
        match start {
            0 => format!("HTTP/1.1 200 OK\r\ncontent-length: {rest}\r\nconnection: close\r\n\r\n"),
            start => format!(
                "HTTP/1.1 206 Partial\r\ncontent-length: {rest}\r\ncontent-range: bytes {start}-{}/{}\r\nconnection: close\r\n\r\n",
                content.len() - 1,
                content.len()
            ),
        }
    };
    let plain = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} Scripted\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n")
    };
    match does {
        None => stream.write_all(plain(404, "").as_bytes()).await,
        Some(Does::Serves(content)) => {
            stream.write_all(head(&content).as_bytes()).await?;
            stream.write_all(&content[start.min(content.len())..]).await
        }
        Some(Does::ServesWhole(content)) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&content).await
        }
        Some(Does::BreaksAfter(bytes, content) | Does::BreaksOnce(bytes, content)) => {
            stream.write_all(head(&content).as_bytes()).await?;
            let end = (start + bytes).min(content.len());
            stream.write_all(&content[start.min(content.len())..end]).await
        }
        Some(Does::Hangs) => stream.read_to_end(&mut Vec::new()).await.map(drop),
        Some(Does::Drips) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Some(Does::Floods) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 65536]).await?;
            }
        }
        Some(Does::Fails { status, .. }) => stream.write_all(plain(status, "").as_bytes()).await,
        Some(Does::Redirects(target)) => {
            stream.write_all(plain(307, &format!("location: {target}\r\n")).as_bytes()).await
        }
        Some(Does::Guards { shown, challenge, content }) => {
            if asked.headers.get("authorization") == Some(&shown) {
                stream.write_all(head(&content).as_bytes()).await?;
                return stream.write_all(&content).await;
            }
            stream.write_all(plain(401, &format!("www-authenticate: {challenge}\r\n")).as_bytes()).await
        }
    }
}
