//! An executor's words, said by a test over HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use chapada_wire::v1::executor::{Call, Event};
use chapada_wire::{Json, Media};
use prost::Message;
use serde_json::{Value, json};

use super::PATIENCE;

/// Speaks for executor `e` of the scripted master's framework.
pub(crate) struct Speaker {
    /// `ip:port`, or the path of a socket.
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    pub(crate) media: Media,
}

/// An open stream, whose events are in this form.
pub(crate) struct Said(BufReader<Box<dyn Connection>>, Media);

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

impl Speaker {
    fn connect(&self) -> io::Result<Box<dyn Connection>> {
        if self.address.starts_with('/') {
            let socket = UnixStream::connect(&self.address)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            return Ok(Box::new(socket));
        }
        let socket = TcpStream::connect(&self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Box::new(socket))
    }

    /// Makes a call, and gives the status and what comes after the head.
    fn send(&self, call: Value) -> (u16, BufReader<Box<dyn Connection>>) {
        self.send_to("/api/v1/executor", call).unwrap()
    }

    /// The same at another path; an error when nobody answers.
    fn send_to(&self, path: &str, mut call: Value) -> io::Result<(u16, BufReader<Box<dyn Connection>>)> {
        call["framework_id"] = json!({ "value": "framework-1" });
        call["executor_id"] = json!({ "value": "e" });
        let body = match self.media {
            Media::Json => call.to_string().into_bytes(),
            Media::Protobuf => Call::from_json(call.to_string().as_bytes()).unwrap().encode_to_vec(),
        };
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let mut socket = self.connect()?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media}\r\nAccept: {media}\r\n{}Content-Length: {}\r\n\r\n",
            self.address,
            token.unwrap_or_default(),
            body.len(),
            media = self.media.content_type(),
        );
        socket.write_all(head.as_bytes())?;
        socket.write_all(&body)?;
        let mut answer = BufReader::new(socket);
        let mut status = String::new();
        answer.read_line(&mut status)?;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if answer.read_line(&mut line)? == 0 {
                return Err(io::Error::other(format!("cut off after {status}")));
            }
        }
        Ok((status.split(' ').nth(1).unwrap().parse().unwrap(), answer))
    }

    /// Subscribes as soon as there is an agent that answers.
    pub(crate) fn subscribe_when_there(&self) -> Said {
        let call = json!({ "type": "SUBSCRIBE", "subscribe": {} });
        loop {
            match self.send_to("/api/v1/executor", call.clone()) {
                Ok((200, answer)) => return Said(answer, self.media),
                Ok((status, _)) => panic!("refused with {status}"),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Makes a call that has no stream for an answer.
    pub(crate) fn call(&self, call: Value) -> u16 {
        self.send(call).0
    }

    /// The same at another path than that of executors.
    pub(crate) fn call_at(&self, path: &str) -> u16 {
        self.send_to(path, json!({ "type": "GET_STATE" })).unwrap().0
    }

    /// Subscribes, knowing of these tasks.
    pub(crate) fn subscribe(&self, tasks: &[&str]) -> Result<Said, u16> {
        let tasks: Vec<Value> = tasks
            .iter()
            .map(|id| json!({ "name": id, "task_id": { "value": id }, "agent_id": { "value": "agent-1" } }))
            .collect();
        let subscribe = json!({ "unacknowledged_tasks": tasks });
        let (status, answer) = self.send(json!({ "type": "SUBSCRIBE", "subscribe": subscribe }));
        if status == 200 { Ok(Said(answer, self.media)) } else { Err(status) }
    }

    /// Says that a task is in a state, in an update named by a letter.
    pub(crate) fn update(&self, task: &str, name: u8, state: &str) -> u16 {
        let uuid = format!("{}==", (name as char).to_string().repeat(21) + "A");
        let status = json!({ "task_id": { "value": task }, "state": state, "source": "SOURCE_EXECUTOR", "uuid": uuid });
        self.call(json!({ "type": "UPDATE", "update": { "status": status } }))
    }
}

impl Said {
    /// The next event; each is a record in a chunk of its own. `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut size = String::new();
        self.0.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim_end(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        let after_size = chunk.iter().position(|byte| *byte == b'\n')? + 1;
        let record = &chunk[after_size..size];
        match self.1 {
            Media::Json => serde_json::from_slice(record).ok(),
            Media::Protobuf => serde_json::from_slice(&Event::decode(record).ok()?.to_json()).ok(),
        }
    }

    /// The next event, which must be of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().unwrap_or_default();
        assert_eq!(event["type"], kind, "{event}");
        event
    }
}
