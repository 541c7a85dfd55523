use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::find;
use kakunin_authority::store::RiskRecord;
use kakunin_authority::watch::Watched;
use kakunin_core::risk::RiskPolicy;
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, one_line};
use crate::context::{Common, now};
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Show how an agent behaves, as its authority sees it
#[derive(Args)]
#[command(
    after_help = "Examples:\n  kakunin risk show billing --url https://authority.example\n  kakunin risk show billing --json"
)]
pub(crate) struct Show {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Show {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.ask(&service);
        }
        let store = common.home().records()?;
        let tenant = common.tenant(store.as_ref())?;
        let agent = find(store.as_ref(), &tenant, &self.who)?;
        let known = store.risk(&tenant, agent.id).map_err(kakunin_authority::AuthorityError::from)?;
        let (policy, now) = (RiskPolicy::default(), now());
        let new = RiskRecord::new(tenant, agent.id, now);
        let watched = Watched::take_up(known.clone(), new.clone(), &policy, now);
        let (monitor, known) = (watched.monitor(), known.unwrap_or(new));
        let evidence = monitor.evidence();
        let sentences: Vec<&str> = evidence.iter().map(|one| one.sentence.as_str()).collect();
        let baseline = watched.is_learnt().then(|| monitor.baseline().digest().to_hex());
        // The service that wrote the record may judge by a policy that is not here: its words count.
        Ok(told(
            json!({
                "id": agent.id.to_string(),
                "name": agent.name.as_str(),
                "standing": agent.standing.word(),
                "level": known.level.word(),
                "score": known.score,
                "baseline": baseline,
                "allowed_calls": known.calls,
                "not_learnt": known.unlearnt,
                "sentences": sentences,
            }),
            agent.name.as_str(),
        ))
    }

    #[cfg(feature = "serve")]
    fn ask(&self, service: &Service) -> Result<Answer, Failure> {
        let answer = service.get(&format!("/agents/{}/risk", self.who))?;
        let of = |place: &str| answer.pointer(&format!("/data/{place}")).cloned().unwrap_or_default();
        let name = of("agent_name");
        Ok(told(
            json!({
                "id": of("agent_id"),
                "name": name,
                "standing": of("standing"),
                "level": of("level"),
                "score": of("score"),
                "baseline": of("baseline"),
                "allowed_calls": of("behaviour/allowed_calls"),
                "not_learnt": of("behaviour/not_learnt"),
                "sentences": of("sentences"),
            }),
            name.as_str().unwrap_or_default(),
        ))
    }
}

fn told(record: Value, name: &str) -> Answer {
    let of = |place: &str| match record.get(place) {
        Some(Value::String(text)) => one_line(text).to_string(),
        Some(Value::Null) | None => "none yet: the agent is still learnt".to_owned(),
        Some(other) => other.to_string(),
    };
    let mut lines = vec![
        format!("{} ({}) is {}", one_line(name), of("id"), of("standing")),
        format!("level        {}, score {}", of("level"), of("score")),
        format!("baseline     {}", of("baseline")),
        format!("allowed      {} calls since it is learnt", of("allowed_calls")),
    ];
    if let Some(Value::String(why)) = record.get("not_learnt") {
        lines.push(format!("not learnt   {}", one_line(why)));
    }
    let sentences = record.get("sentences").and_then(Value::as_array).cloned().unwrap_or_default();
    let against: Vec<String> = sentences
        .iter()
        .filter_map(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(|text| format!("against it   {}", one_line(text)))
        .collect();
    Answer::yes(record).lines(lines).lines(against)
}
