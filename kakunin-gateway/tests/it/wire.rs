//! The layer behind a real server on a socket: octets that a client library would never send.

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kakunin_gateway::GatewayOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::tower::{Ran, router};
use crate::world::{BODY, SCOPE, SHOP, Sent, World, plain};

/// Sends octets in one write, says that nothing more comes, and gives the status codes of all that is answered.
async fn send(world: &Place, octets: &[u8]) -> Vec<u16> {
    let (server, mut client) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    };
    let service = TowerToHyperService::new(world.router.clone());
    let served = tokio::spawn(async move {
        let mut server_of = hyper::server::conn::http1::Builder::new();
        server_of.half_close(true);
        let _ = server_of.serve_connection(TokioIo::new(server), service).await;
    });
    // A server that has said no reads no further, and its end of the connection may be gone by then.
    let _ = client.write_all(octets).await;
    let _ = client.shutdown().await;
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    served.await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split("HTTP/1.1 ").skip(1).map(|rest| rest.get(..3).unwrap().parse().unwrap()).collect()
}

struct Place {
    router: axum::Router,
}

fn head(sent: &Sent) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", sent.method, sent.path);
    for (name, value) in &sent.fields {
        text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value)));
    }
    text
}

/// With the length of its body.
fn sized(sent: &Sent) -> Vec<u8> {
    let length = format!("content-length: {}\r\n\r\n", sent.body.len());
    [head(sent).as_bytes(), length.as_bytes(), &sent.body].concat()
}

/// In pieces of a few octets.
fn chunked(sent: &Sent, more: &str) -> Vec<u8> {
    let mut octets = format!("{}{more}Transfer-Encoding: chunked\r\n\r\n", head(sent)).into_bytes();
    for piece in sent.body.chunks(5) {
        octets.extend(format!("{:x}\r\n", piece.len()).bytes());
        octets.extend(piece);
        octets.extend(b"\r\n");
    }
    octets.extend(b"0\r\n\r\n");
    octets
}

#[tokio::test]
async fn octets_on_a_socket_lead_to_a_handler_only_with_their_own_proof() {
    let world = World::new();
    let options = GatewayOptions { max_body: 256, ..GatewayOptions::named([SHOP]) };
    let (gateway, agent, ran) = (world.gateway_with(options), world.agent(SCOPE), Ran::default());
    let place = Place { router: router(&gateway, &ran) };
    let small = || agent.sends("POST", "/orders", None, br#"{"amount":"0.10"}"#, None);
    let stranger = || plain("POST", "/orders", BODY);

    assert_eq!((send(&place, &sized(&small())).await, ran.take()), (vec![200], 1));
    assert_eq!((send(&place, &chunked(&small(), "")).await, ran.take()), (vec![200], 1));
    assert_eq!((send(&place, &sized(&stranger())).await, ran.take()), (vec![401], 0));
    assert_eq!((send(&place, &chunked(&stranger(), "")).await, ran.take()), (vec![401], 0));

    // Names of fields in any case.
    let shouted = small();
    let fields = shouted.fields.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect();
    assert_eq!((send(&place, &sized(&Sent { fields, ..shouted })).await, ran.take()), (vec![200], 1));

    // One after the other on one connection: each stands for itself.
    let both = [sized(&small()), sized(&stranger())].concat();
    assert_eq!((send(&place, &both).await, ran.take()), (vec![200, 401], 1));
    let both = [sized(&stranger()), sized(&small())].concat();
    assert_eq!((send(&place, &both).await, ran.take()), (vec![401, 200], 1));
    let once = small();
    let both = [sized(&once), sized(&once)].concat();
    assert_eq!((send(&place, &both).await, ran.take()), (vec![200, 401], 1));
}

/// Whatever a reader before this one took for the end of a body: nothing behind it runs without a proof of its own, and the body
/// that was signed is the body that is read.
#[tokio::test]
async fn two_lengths_on_a_socket_smuggle_nothing() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let place = Place { router: router(&gateway, &ran) };
    let small = || agent.sends("POST", "/orders", None, br#"{"amount":"0.10"}"#, None);
    let stranger = String::from_utf8(sized(&plain("POST", "/orders", BODY))).unwrap();

    // `content-length` counts for one reader, the chunks for the other.
    let both = chunked(&small(), "Content-Length: 4\r\n");
    let answers = send(&place, &both).await;
    assert!(answers.iter().all(|status| [200, 400, 401].contains(status)), "{answers:?}");
    assert!(ran.take() <= 1, "the body that was signed, or none");
    let sent = small();
    let hidden = format!(
        "{}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{stranger}",
        head(&sent),
        5 + stranger.len()
    );
    let answers = send(&place, hidden.as_bytes()).await;
    assert!(!answers.contains(&200), "{answers:?}");
    assert_eq!(ran.take(), 0, "an empty body was not signed, and what stands behind it proves nothing");

    for (why, more) in [
        ("two lengths", "Content-Length: 17\r\nContent-Length: 18\r\n\r\n"),
        ("a list of lengths", "Content-Length: 17, 18\r\n\r\n"),
        ("another coding", "Transfer-Encoding: xchunked\r\n\r\n"),
        ("an obscured coding", "Transfer-Encoding: identity, chunked, identity\r\n\r\n"),
        ("a folded line", "Content-Length:\r\n 17\r\n\r\n"),
    ] {
        let sent = small();
        let octets = format!("{}{more}{}{stranger}", head(&sent), String::from_utf8_lossy(&sent.body));
        let answers = send(&place, octets.as_bytes()).await;
        assert!(!answers.contains(&200), "{why}: {answers:?}");
        assert_eq!(ran.take(), 0, "{why}");
    }
    // More than is read: the answer is no, and the rest of it is no request.
    let spaces = vec![b' '; (1 << 20) + 1];
    let large = agent.sends("POST", "/orders", None, &spaces, None);
    for (large, status) in [(large, 413), (plain("POST", "/orders", &spaces), 401)] {
        let answers = send(&place, &sized(&large)).await;
        assert!(answers.iter().all(|answer| *answer == status), "{answers:?}");
        assert_eq!(ran.take(), 0);
    }
}
