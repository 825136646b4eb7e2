//! Two ends of a tunnel on channels in place of a network.

use std::convert::Infallible;

use futures_util::stream;
use tokio::task::JoinHandle;

use super::*;

type Carrying = JoinHandle<Result<(), TunnelError>>;

fn pieces(receiver: mpsc::Receiver<Piece>) -> impl Stream<Item = Result<Piece, Infallible>> {
    stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (Ok(piece), receiver))
    })
}

fn joined() -> ((Tunnel, Carrying), (Tunnel, Carrying)) {
    let (to_right, from_left) = mpsc::channel(4);
    let (to_left, from_right) = mpsc::channel(4);
    let (left, carrying_left) = tunnel(pieces(from_right), to_right);
    let (right, carrying_right) = tunnel(pieces(from_left), to_left);
    ((left, tokio::spawn(carrying_left)), (right, tokio::spawn(carrying_right)))
}

/// An end whose other end the test plays.
fn alone() -> (Tunnel, Carrying, mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    let (say, said) = mpsc::channel(4);
    let (sent, outgoing) = mpsc::channel(64);
    let (end, carrying) = tunnel(pieces(said), sent);
    (end, tokio::spawn(carrying), say, outgoing)
}

#[tokio::test]
async fn bytes_cross_in_both_directions_at_once_and_more_than_a_window_of_them() {
    let ((left, _), (right, _)) = joined();
    let sent: Vec<u8> = (0..5 * WINDOW).map(|number| (number % 251) as u8).collect();
    let exchange = async |end: Tunnel| {
        let (mut read, mut write) = tokio::io::split(end);
        let mut came = vec![0; sent.len()];
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut came));
        written.unwrap();
        read.unwrap();
        came
    };
    let (at_left, at_right) = tokio::join!(exchange(left), exchange(right));
    assert!(at_left == sent && at_right == sent);
}

#[tokio::test]
async fn what_was_written_before_the_end_is_read_before_the_end() {
    let ((mut left, _), (mut right, carrying)) = joined();
    left.write_all(b"the last words").await.unwrap();
    drop(left);
    let mut read = String::new();
    right.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "the last words");
    carrying.await.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_is_sent_beyond_what_the_other_end_can_take() {
    let (end, _carrying, say, mut outgoing) = alone();
    let (mut read, mut write) = tokio::io::split(end);
    assert_eq!(outgoing.recv().await.unwrap(), Piece { data: Bytes::new(), credit: WINDOW });
    write.write_all(&[7; 100]).await.unwrap();
    say.send(Piece { data: Bytes::new(), credit: 10 }).await.unwrap();
    let mut sent = async || loop {
        let piece = outgoing.recv().await.unwrap();
        if !piece.data.is_empty() {
            return piece.data.len();
        }
    };
    assert_eq!(sent().await, 10);
    // What comes is read although nothing may be sent.
    say.send(Piece { data: Bytes::from_static(b"in"), credit: 0 }).await.unwrap();
    read.read_exact(&mut [0; 2]).await.unwrap();
    say.send(Piece { data: Bytes::new(), credit: 1000 }).await.unwrap();
    assert_eq!(sent().await, 90);
}

#[tokio::test]
async fn who_sends_more_than_allowed_is_cut_off() {
    let (_end, carrying, say, _outgoing) = alone();
    let piece = Piece { data: Bytes::from(vec![0; WINDOW as usize]), credit: 0 };
    say.send(piece).await.unwrap();
    say.send(Piece { data: Bytes::from_static(b"1"), credit: 0 }).await.unwrap();
    assert!(matches!(carrying.await.unwrap(), Err(TunnelError::Overrun)));
}

/// Carries an end that beats every millisecond and takes the other for gone after twenty.
fn hasty(said: mpsc::Receiver<Piece>, sent: mpsc::Sender<Piece>) -> (DuplexStream, Carrying) {
    let (near, far) = tokio::io::duplex(16);
    let pace = Pace { beat: Duration::from_millis(1), silence: Duration::from_millis(20) };
    let carrier = Carrier { outgoing: sent, read: Arc::default(), pace, allowed: 0, granted: 0 };
    (near, tokio::spawn(carrier.carry(pieces(said), far)))
}

#[tokio::test]
async fn an_end_beats_and_takes_the_other_for_gone_that_does_not() {
    let (_say, said) = mpsc::channel(1);
    let (sent, mut outgoing) = mpsc::channel(64);
    let (_near, carrying) = hasty(said, sent);
    assert_eq!(outgoing.recv().await.unwrap().credit, WINDOW);
    assert_eq!(outgoing.recv().await.unwrap(), Piece::default(), "a beat");
    assert!(matches!(carrying.await.unwrap(), Err(TunnelError::Silent)));
}

#[tokio::test]
async fn an_end_that_takes_nothing_off_the_network_is_gone() {
    let (_say, said) = mpsc::channel(1);
    let (sent, _kept) = mpsc::channel(1);
    let (_near, carrying) = hasty(said, sent);
    assert!(matches!(carrying.await.unwrap(), Err(TunnelError::Silent)));
}
