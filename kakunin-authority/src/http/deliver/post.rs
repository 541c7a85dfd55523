//! One attempt: a signed request to one receiver, and what came back.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use kakunin_core::time::UnixTime;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};

use super::names::{Inside, Judged, Names};
use super::reach::Reach;
use super::target::{INSIDE, Target};
use crate::hook::secret::{HookSecret, hosted_signature, own_signature};
use crate::store::{DeliveryRecord, HookRecord, ReceiverAnswer};

/// Sends deliveries.
pub(crate) struct Post {
    client: Result<Client, String>,
    reach: Reach,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) answer: Option<ReceiverAnswer>,
    /// `None` when the receiver took it.
    pub(crate) error: Option<String>,
}

impl Post {
    /// With `ca` in PEM receivers have to be certified by one of those; without by one that the system knows.
    pub(crate) fn new(reach: Reach, names: Arc<dyn Names>, ca: Option<&[u8]>) -> Result<Self, String> {
        let client = client(&reach, names, ca, ALL)?;
        Ok(Self { client, reach })
    }

    pub(crate) async fn send(
        &self,
        hook: &HookRecord,
        delivery: &DeliveryRecord,
        secrets: &[HookSecret],
        at: UnixTime,
    ) -> Sent {
        let failed = |error: &str| Sent { answer: None, error: Some(error.to_owned()) };
        // Judged again: the rules may be others than when it was made, and an address is not looked up as a name is.
        let target = match Target::parse(&hook.url, &self.reach) {
            Ok(target) => target,
            Err(why) => return failed(why),
        };
        let Some(body) = body(hook, delivery) else { return failed("its record is damaged") };
        // A form with room for one signature keeps to the old secret as long as that is good: receivers change over
        // when they like, and nothing breaks at the change.
        let (Some(oldest), id) = (secrets.last(), delivery.id()) else { return failed("it has no secret") };
        let client = match &self.client {
            Ok(client) => client,
            Err(why) => return failed(why),
        };
        let mut request = client
            .post(target.url())
            .header("content-type", "application/json")
            .header("kakunin-signature", own_signature(secrets, at, &id, &body))
            .header("kakunin-id", id);
        if let Some(hosted) = hosted_signature(hook.form, oldest, at, &body) {
            request = request.header("x-kakunin-signature", hosted);
        }
        match request.body(body).send().await {
            Ok(response) => judge(response).await,
            Err(error) => failed(&why(&error)),
        }
    }
}

/// A client that reaches what `reach` admits and nothing else, and waits for an answer for `all`. The inner error is the
/// system's; the outer one is about `ca`.
pub(crate) fn client(
    reach: &Reach,
    names: Arc<dyn Names>,
    ca: Option<&[u8]>,
    all: Duration,
) -> Result<Result<Client, String>, String> {
    // One provider for the whole process; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .dns_resolver(Judged::new(names, reach.clone()))
        // A proxy would look the name up again, and a redirect leads where nobody was asked.
        .no_proxy()
        .redirect(Policy::none())
        .http1_only()
        .referer(false)
        // Each attempt connects anew, and so is judged anew.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT)
        .timeout(all)
        .user_agent(concat!("kakunin/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = ca {
        let roots = Certificate::from_pem_bundle(pem).map_err(|error| error.to_string())?;
        if roots.is_empty() {
            return Err("the file has no certificate in PEM".to_owned());
        }
        builder = builder.tls_certs_only(roots);
    }
    // Without certificates of the system nothing is sent; a service that nobody wants webhooks of still starts.
    Ok(builder.build().map_err(|error| format!("no client can be made: {}", deepest(&error))))
}

/// What the receiver said, as far as it is kept.
async fn judge(mut response: Response) -> Sent {
    let status = response.status();
    let mut body = Vec::new();
    // A body that breaks off changes nothing about the status.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MOST_KEPT.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if body.len() >= MOST_KEPT {
            break;
        }
    }
    let error = match status {
        _ if status.is_success() => None,
        _ if status.is_redirection() => Some("it redirects, which is not followed".to_owned()),
        _ => Some(format!("it answered {}", status.as_u16())),
    };
    Sent { answer: Some(ReceiverAnswer { status: status.as_u16(), body }), error }
}

/// The request, the same for every attempt.
fn body(hook: &HookRecord, delivery: &DeliveryRecord) -> Option<Vec<u8>> {
    let data: Value = serde_json::from_str(&delivery.data).ok()?;
    let mut body = json!({
        "id": delivery.id(),
        "event": delivery.event.word(),
        "sequence": delivery.sequence,
        "created_at": delivery.at.to_string(),
        "webhook_id": hook.id.to_string(),
        "tenant_id": hook.tenant.as_str(),
    });
    let members = body.as_object_mut()?;
    // Where one client of the hosted service looks for it.
    if let Some(serial) = data.get("serial_number") {
        members.insert("serial_number".into(), serial.clone());
    }
    members.insert("data".into(), data);
    Some(body.to_string().into_bytes())
}

/// Why a request failed, without what the network inside looks like.
fn why(error: &reqwest::Error) -> String {
    let cause = deepest(error);
    if cause.is::<Inside>() {
        return INSIDE.to_owned();
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let what = if error.is_connect() { "cannot connect" } else { "the connection broke" };
    let cause: String = cause.to_string().chars().take(MOST_CAUSE).collect();
    format!("{what}: {cause}")
}

/// The first cause of an error.
fn deepest<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}

const CONNECT: Duration = Duration::from_secs(5);
const ALL: Duration = Duration::from_secs(15);
/// Octets of an answer that are kept, for whoever looks why it failed.
const MOST_KEPT: usize = 512;
const MOST_CAUSE: usize = 200;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{IpAddr, TcpListener};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::names::LookUp;
    use super::*;
    use crate::access::TenantId;
    use crate::hook::{HookEvent, HookId, SignatureForm};
    use crate::store::DeliveryState;

    /// Answers each look-up with the next of these, and with the last one from then on.
    struct Rebinding {
        answers: Vec<Vec<IpAddr>>,
        asked: AtomicUsize,
    }

    impl Rebinding {
        fn new(answers: &[&[&str]]) -> Arc<Self> {
            let read = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
            Arc::new(Self { answers: answers.iter().map(read).collect(), asked: AtomicUsize::new(0) })
        }
    }

    impl Names for Rebinding {
        fn look_up(&self, _: String) -> LookUp {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers.get(asked).or(self.answers.last()).unwrap().clone();
            Box::pin(async move { Ok(answer) })
        }
    }

    /// A receiver at this machine that gives one answer, and what it was sent.
    struct Receiver {
        port: u16,
        heard: Arc<Mutex<Vec<String>>>,
    }

    impl Receiver {
        fn answering(answer: &str) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (port, answer) = (listener.local_addr().unwrap().port(), answer.to_owned());
            let heard = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&heard);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
                    // A body here is one object, and the only one that ends with this member.
                    while !bytes.ends_with(b"\"wh_01010101010101010101010101010101\"}") {
                        match stream.read(&mut piece).unwrap() {
                            0 => break,
                            read => bytes.extend(&piece[..read]),
                        }
                    }
                    kept.lock().unwrap().push(String::from_utf8(bytes).unwrap());
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
            Self { port, heard }
        }

        fn heard(&self) -> usize {
            self.heard.lock().unwrap().len()
        }
    }

    fn hook(url: String, form: SignatureForm) -> HookRecord {
        HookRecord {
            id: HookId::from_bytes([1; 16]),
            tenant: TenantId::default(),
            url,
            events: Vec::new(),
            form,
            active: true,
            created: UnixTime::from_seconds(1),
            updated: UnixTime::from_seconds(1),
        }
    }

    fn delivery() -> DeliveryRecord {
        DeliveryRecord {
            hook: HookId::from_bytes([1; 16]),
            sequence: 7,
            event: HookEvent::Test,
            at: UnixTime::from_seconds(1000),
            data: r#"{"serial_number":"00FF"}"#.into(),
            state: DeliveryState::Pending,
            attempts: 0,
            due: UnixTime::from_seconds(0),
            tried: None,
            answer: None,
            error: None,
        }
    }

    fn send(post: &Post, hook: &HookRecord) -> Sent {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let secrets = [HookSecret::generate().unwrap()];
        runtime.block_on(post.send(hook, &delivery(), &secrets, UnixTime::from_seconds(1001)))
    }

    fn local() -> Reach {
        Reach { loopback: true, ..Reach::default() }
    }

    #[test]
    fn a_name_that_stands_for_an_address_inside_is_not_connected_to() {
        let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let url = format!("https://rebinding.example:{}/", receiver.port);
        for answers in [
            // The whole truth, one truth among others, a mapped one, and one for the judge and another afterwards.
            &[&["127.0.0.1"][..]][..],
            &[&["93.184.216.34", "127.0.0.1"]],
            &[&["127.0.0.1", "93.184.216.34"]],
            &[&["::ffff:127.0.0.1"]],
            &[&["169.254.169.254"]],
            &[&["64:ff9b::7f00:1"]],
            &[&[]],
        ] {
            let names = Rebinding::new(answers);
            let post = Post::new(Reach::default(), Arc::<Rebinding>::clone(&names), None).unwrap();
            let sent = send(&post, &hook(url.clone(), SignatureForm::Own));
            assert_eq!(sent, Sent { answer: None, error: Some(INSIDE.into()) }, "{answers:?}");
            assert_eq!(names.asked.load(Ordering::SeqCst), 1, "{answers:?}");
        }
        assert_eq!(receiver.heard(), 0);
    }

    #[test]
    fn what_was_judged_is_what_is_connected_to() {
        let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        // A second look-up would lead elsewhere: there must be none between the judgement and the connection.
        let names = Rebinding::new(&[&["127.0.0.1"], &["192.0.2.1"]]);
        let post = Post::new(local(), Arc::<Rebinding>::clone(&names), None).unwrap();
        let url = format!("http://localhost:{}/a?b=c", receiver.port);
        let sent = send(&post, &hook(url.clone(), SignatureForm::HostedTimed));
        assert_eq!(sent.error, None);
        assert_eq!(names.asked.load(Ordering::SeqCst), 1);
        let heard = receiver.heard.lock().unwrap().remove(0);
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{head}");
        for part in ["kakunin-signature: t=1001,v1=", "kakunin-id: evt_", "x-kakunin-signature: t=1001,v1="] {
            assert!(head.contains(part), "{head}");
        }
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["sequence"], &body["event"]), (&json!(7), &json!("webhook.test")));
        assert_eq!(
            (&body["serial_number"], &body["data"]["serial_number"]),
            (&json!("00FF"), &json!("00FF"))
        );
        // The next attempt looks anew, and is judged by what is true then.
        let sent = send(&post, &hook(url, SignatureForm::Own));
        assert_eq!(sent, Sent { answer: None, error: Some(INSIDE.into()) });
    }

    #[test]
    fn a_redirect_is_an_answer_and_not_a_way() {
        let inner = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret");
        for (status, to) in [
            (301, format!("http://127.0.0.1:{}/", inner.port)),
            (302, "http://169.254.169.254/latest/meta-data/".to_owned()),
            (302, format!("http://127.0.0.1:{}/", inner.port)),
            (307, format!("http://127.0.0.1:{}/", inner.port)),
            (308, format!("//127.0.0.1:{}/", inner.port)),
        ] {
            let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            let outer = Receiver::answering(&answer);
            let post = Post::new(local(), Rebinding::new(&[&["127.0.0.1"]]), None).unwrap();
            let sent = send(&post, &hook(format!("http://localhost:{}/", outer.port), SignatureForm::Own));
            assert_eq!(sent.answer.unwrap().status, status);
            assert_eq!(sent.error.unwrap(), "it redirects, which is not followed");
        }
        assert_eq!(inner.heard(), 0);
    }

    #[test]
    fn of_an_answer_the_beginning_is_kept() {
        for (head, kept) in [
            ("content-length: 100000".to_owned(), 512),
            // No end is announced, and more comes than anybody asked for.
            ("connection: close".to_owned(), 512),
            // Less comes than was announced: the status counts all the same.
            ("content-length: 10000000".to_owned(), 512),
        ] {
            let answer = format!("HTTP/1.1 500 No\r\n{head}\r\n\r\n{}", "\u{1b}".repeat(100_000));
            let receiver = Receiver::answering(&answer);
            let post = Post::new(local(), Rebinding::new(&[&["127.0.0.1"]]), None).unwrap();
            let sent = send(&post, &hook(format!("http://localhost:{}/", receiver.port), SignatureForm::Own));
            let kept_body = sent.answer.unwrap().body;
            assert_eq!((kept_body.len(), sent.error.as_deref()), (kept, Some("it answered 500")), "{head}");
        }
    }

    #[test]
    fn an_address_that_is_written_out_is_judged_though_nobody_looks_it_up() {
        let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let names = Rebinding::new(&[&["93.184.216.34"]]);
        let post = Post::new(Reach::default(), Arc::<Rebinding>::clone(&names), None).unwrap();
        for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"] {
            let sent = send(&post, &hook(format!("https://{host}:{}/", receiver.port), SignatureForm::Own));
            assert_eq!(sent, Sent { answer: None, error: Some(INSIDE.into()) }, "{host}");
        }
        assert_eq!((receiver.heard(), names.asked.load(Ordering::SeqCst)), (0, 0));
    }
}
