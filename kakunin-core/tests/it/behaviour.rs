//! An agent whose behaviour is made up: sessions of calls as statements of receipts, from a seed.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::receipt::{Answer, Control, Disclosure, Event, Mode, ReceiptHash, Stamp, Statement};
use kakunin_core::risk::{Baseline, Observation, RiskPolicy};

pub(crate) const NOON: i64 = 1_795_000_000_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const DAY: i64 = 86_400_000;

/// Writes receipts of one stream, one after another.
#[derive(Clone)]
pub(crate) struct Pen {
    pub(crate) agent: AgentId,
    pub(crate) stream: StreamId,
    pub(crate) sequence: u64,
    pub(crate) at: i64,
    session: u64,
    draws: u64,
}

impl Pen {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            agent: AgentId::from_random([1; 16]),
            stream: StreamId::from_bytes([seed; 16]),
            sequence: 0,
            at: NOON,
            session: u64::from(seed) << 32,
            draws: u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 7;
        self.draws ^= self.draws << 17;
        (self.draws >> 16) % bound
    }

    /// A new session after some minutes.
    pub(crate) fn begin(&mut self) {
        self.session += 1;
        self.at += MINUTE * (5 + i64::try_from(self.draw(20)).unwrap());
    }

    pub(crate) fn statement(&mut self, event: Event) -> Statement {
        self.sequence += 1;
        let mut chain = [0; 16];
        chain[..8].copy_from_slice(&self.session.to_be_bytes());
        Statement {
            stream: self.stream,
            sequence: self.sequence,
            previous: Digest::of(b""),
            agent: self.agent,
            stamp: Stamp { micros: self.at.saturating_mul(1000), boot: [0; 16], mono_nanos: 0 },
            chain: Some((ChainId::from_bytes(chain), None)),
            anchor: None,
            parents: Vec::new(),
            memory: false,
            trace: None,
            event,
        }
    }

    pub(crate) fn observe(&mut self, event: Event, opened: &[Disclosure]) -> Observation {
        let statement = self.statement(event);
        let name = ReceiptHash::of(format!("{} {}", statement.stream, statement.sequence).as_bytes());
        Observation::of(name, &statement, opened, None).unwrap()
    }

    /// A call that is answered like this, two seconds after the one before.
    pub(crate) fn call(&mut self, action: &str, answer: Answer) -> Observation {
        self.at += 2_000;
        self.observe(decision(Some(action), answer), &[])
    }

    pub(crate) fn allowed(&mut self, action: &str) -> Observation {
        self.call(action, Answer::Allow)
    }

    pub(crate) fn denied(&mut self, action: &str, code: &str) -> Observation {
        self.call(action, Answer::Deny(code.to_owned()))
    }

    /// A payment whose values are shown.
    pub(crate) fn pays(&mut self, amount: &str, to: &str) -> Observation {
        self.at += 2_000;
        let opened = [
            disclosure("amount", &serde_json::json!(amount)),
            disclosure("currency", &serde_json::json!("EUR")),
            disclosure("counterparties", &serde_json::json!(to)),
        ];
        let mut event = decision(Some("payments:send"), Answer::Allow);
        if let Event::Decision { amount, currency, counterparties, .. } = &mut event {
            *amount = Some(*opened[0].digest());
            *currency = Some(*opened[1].digest());
            *counterparties = Some(*opened[2].digest());
        }
        self.observe(event, &opened)
    }

    /// The clock was set back, and the agent says so.
    pub(crate) fn sets_back(&mut self, millis: u64) -> Observation {
        self.observe(Event::Control(Control::Clock { forward: false, millis }), &[])
    }

    /// What the agent does all day: mail, orders, now and then a payment or a note.
    pub(crate) fn session(&mut self) -> Vec<Observation> {
        self.begin();
        let mut seen = vec![self.allowed("read:mail")];
        for _ in 0..=self.draw(3) {
            seen.push(self.allowed("read:orders"));
        }
        if self.draw(10) == 0 {
            seen.push(self.allowed("read:contract"));
        }
        match self.draw(8) {
            0 | 1 => {
                let (amount, to) = (20 + self.draw(200), self.draw(12));
                seen.push(self.pays(&format!("{amount}.00"), &format!("supplier-{to}")));
            }
            2 => seen.push(self.allowed("notes:write")),
            3 if self.draw(12) == 0 => seen.push(self.denied("payments:send", "scope.amount")),
            _ => {}
        }
        seen
    }

    pub(crate) fn days(&mut self, calls: usize) -> Vec<Observation> {
        let mut seen = Vec::new();
        while seen.len() < calls {
            seen.extend(self.session());
        }
        seen
    }
}

pub(crate) fn decision(action: Option<&str>, answer: Answer) -> Event {
    Event::Decision {
        caller: None,
        action: action.map(str::to_owned),
        answer,
        mode: Mode::Enforce,
        list: None,
        amount: None,
        currency: None,
        counterparties: None,
        resources: None,
        as_written: false,
    }
}

pub(crate) fn disclosure(name: &str, value: &serde_json::Value) -> Disclosure {
    let salt = Base64UrlUnpadded::encode_string(&[7; 16]);
    let text = serde_json::json!([salt, name, value]).to_string();
    Disclosure::parse(Base64UrlUnpadded::encode_string(text.as_bytes()).as_bytes()).unwrap()
}

/// A baseline of 1,200 calls.
pub(crate) fn baseline() -> Baseline {
    Baseline::learn(&Pen::new(1).days(1_200), &RiskPolicy::default()).unwrap()
}
