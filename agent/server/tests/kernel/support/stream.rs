//! Streams of records to and from an agent's operator API, in either form.

use std::io;

use chapada_wire::v1::agent::call::{self, AttachContainerInput, attach_container_input};
use chapada_wire::v1::agent::{Call, ProcessIo, process_io};
use chapada_wire::{Json, Media, recordio};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// A request of which more can be said as long as it is held.
pub(crate) struct Input {
    stream: TcpStream,
    media: Media,
}

/// An answer of which more comes as long as it is held.
pub(crate) struct Output {
    pub(crate) status: u16,
    pub(crate) head: String,
    media: Media,
    stream: BufReader<TcpStream>,
}

impl Input {
    /// Begins to write to a container.
    pub(crate) async fn open(address: &str, media: Media, container: &Value) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/recordio\r\nMessage-Content-Type: {}\r\nAccept: application/json\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
            media.content_type()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut input = Self { stream, media };
        input.attach(json!({ "type": "CONTAINER_ID", "container_id": container })).await.unwrap();
        input
    }

    /// Says this in a record.
    pub(crate) async fn attach(&mut self, attach: Value) -> io::Result<()> {
        let call = json!({ "type": "ATTACH_CONTAINER_INPUT", "attach_container_input": attach });
        let call = Call::from_json(call.to_string().as_bytes()).unwrap();
        self.send(&self.media.record(&call)).await
    }

    /// Sends these bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
        self.stream.write_all(bytes).await?;
        self.stream.write_all(b"\r\n").await
    }

    /// Writes to the program; nothing is the end of the file.
    pub(crate) async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let record = self.record(text);
        self.send(&record).await
    }

    /// The record that writes this.
    pub(crate) fn record(&self, text: &[u8]) -> Vec<u8> {
        let data = process_io::Data {
            r#type: Some(process_io::data::Type::Stdin as i32),
            data: Some(text.to_vec()),
        };
        let process_io = ProcessIo {
            r#type: Some(process_io::Type::Data as i32),
            data: Some(data),
            ..ProcessIo::default()
        };
        let attach = AttachContainerInput {
            r#type: Some(attach_container_input::Type::ProcessIo as i32),
            process_io: Some(process_io),
            ..AttachContainerInput::default()
        };
        let call = Call {
            r#type: Some(call::Type::AttachContainerInput as i32),
            attach_container_input: Some(attach),
            ..Call::default()
        };
        self.media.record(&call).to_vec()
    }

    /// Says how large the terminal is.
    pub(crate) async fn resize(&mut self, rows: u16, columns: u16) {
        let size = json!({ "window_size": { "rows": rows, "columns": columns } });
        let control = json!({ "type": "TTY_INFO", "tty_info": size });
        let io = json!({ "type": "CONTROL", "control": control });
        self.attach(json!({ "type": "PROCESS_IO", "process_io": io })).await.unwrap();
    }

    /// Ends the request, and gives the answer.
    pub(crate) async fn finish(mut self) -> (u16, String) {
        // Who was refused may find nobody to tell.
        let _ = self.stream.write_all(b"0\r\n\r\n").await;
        self.answer().await
    }

    /// The answer, which may come before the end of the request.
    pub(crate) async fn answer(mut self) -> (u16, String) {
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("{read:?}: {answer}")), answer)
    }
}

impl Output {
    /// Makes a call whose answer is a stream of records of this form.
    pub(crate) async fn open(address: &str, media: Media, call: &Value) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, address, media, call).await
    }

    pub(crate) async fn over(mut stream: TcpStream, address: &str, media: Media, call: &Value) -> Self {
        let body = call.to_string();
        let head = format!(
            "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/recordio\r\nMessage-Accept: {}\r\nContent-Length: {}\r\n\r\n",
            media.content_type(),
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(PATIENCE, stream.read_line(&mut head)).await.unwrap().unwrap();
            assert!(read > 0, "cut off after {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 200 {
            // What is wrong, for a test that expected otherwise.
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let mut said = vec![0; length.unwrap_or("0").parse().unwrap()];
            stream.read_exact(&mut said).await.unwrap();
            head.push_str(&String::from_utf8_lossy(&said));
        }
        Self { status, head, media, stream }
    }

    /// The next record; `None` at the end of the stream.
    ///
    /// # Errors
    /// When it is broken off.
    pub(crate) async fn next(&mut self) -> io::Result<Option<ProcessIo>> {
        timeout(PATIENCE, self.record()).await.expect("a record comes")
    }

    async fn record(&mut self) -> io::Result<Option<ProcessIo>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await?;
        if size == 0 {
            return Ok(None);
        }
        let mut decoder = recordio::Decoder::new(1 << 20);
        decoder.push(&chunk[..size]);
        let record = decoder.next_record().unwrap().expect("a chunk is a record");
        Ok(Some(self.media.decode(&record, "ProcessIO").unwrap()))
    }

    /// What the next record that is not a heartbeat says, and whether it is of standard error; `None` at the end.
    pub(crate) async fn said(&mut self) -> Option<(bool, String)> {
        loop {
            let Some(data) = self.next().await.unwrap()?.data else { continue };
            let text = String::from_utf8(data.data.clone().unwrap()).unwrap();
            return Some((data.r#type() == process_io::data::Type::Stderr, text));
        }
    }

    /// Reads until this has been said.
    pub(crate) async fn until(&mut self, wanted: &str) -> String {
        let mut all = String::new();
        while !all.contains(wanted) {
            let (_, text) = self.said().await.unwrap_or_else(|| panic!("{all:?} without {wanted:?}"));
            all.push_str(&text);
        }
        all
    }

    /// Everything up to the end, of standard output and of standard error.
    pub(crate) async fn rest(&mut self) -> [String; 2] {
        let mut all = [const { String::new() }; 2];
        while let Some((is_error, text)) = self.said().await {
            all[usize::from(is_error)].push_str(&text);
        }
        all
    }
}
