use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgGroup, Args};
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::guard::SystemClock;
use kakunin_core::home::AgentHome;
use kakunin_core::id::ChainId;
use kakunin_core::journal::{EraseError, Erased, Identity, Survey, Unsearched, Which, erase, locate, survey};
use kakunin_core::key::Signer;
use kakunin_core::receipt::ErasureReason;
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};

/// Erase what receipts disclose: amounts, names and results, with their salts
///
/// Receipts commit to these values and do not contain them, so every signature, chain and proof stays what it was. A signed
/// receipt says how many values were erased and why, before they are destroyed. Everything that the chosen decisions and
/// their outcomes disclose goes; an agent that is running is not disturbed. What was exported, copied or written
/// elsewhere before is out of reach: see docs/erasure.md.
#[derive(Args)]
#[command(
    group(ArgGroup::new("which").required(true).args(
        ["chain", "decision", "counterparty", "resource", "before", "older_than", "retention"]
    )),
    after_help = "\
Examples:
  kakunin erase --journal agents/billing --counterparty 'Jane Doe' --reason subject_request --dry-run
  kakunin erase --journal agents/billing --chain 00112233445566778899aabbccddeeff --reason owner_request
  kakunin erase --journal agents/billing --older-than 180d --reason retention
  kakunin erase --journal agents/billing --retention     # [disclosures] keep_days of agent.toml; for cron

Exit codes: 0 done, or nothing was there to erase; 1 refused, nothing was erased; 2 something could not be read or written;
64 wrong usage."
)]
pub(crate) struct Erase {
    /// The agent's directory, its state or its journal
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// The agent's directory, whose key signs the receipt, if the journal is not in it
    #[arg(long, value_name = "DIR")]
    agent: Option<PathBuf>,
    /// Values of this decision chain: 32 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = chain)]
    chain: Option<ChainId>,
    /// Values of one decision: the first digits of its id, four at least
    #[arg(long, value_name = "ID", value_parser = prefix)]
    decision: Option<String>,
    /// Values of decisions that name this counterparty, exactly as the caller wrote it
    #[arg(long, value_name = "NAME")]
    counterparty: Option<String>,
    /// Values of decisions that name this resource, exactly as the caller wrote it
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Values of decisions before this time, for example 2026-06-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<UnixTime>,
    /// Values of decisions that are older: a number of days (180d) or hours (36h)
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<i64>,
    /// Values that are older than `[disclosures] keep_days` of agent.toml says
    #[arg(long)]
    retention: bool,
    /// Why: subject_request, retention, owner_request or legal_order; it is all that the receipt says
    #[arg(long, value_name = "CODE", value_parser = reason, required_unless_present = "retention")]
    reason: Option<ErasureReason>,
    /// Say what would be erased, and change nothing
    #[arg(long)]
    dry_run: bool,
}

fn chain(text: &str) -> Result<ChainId, String> {
    ChainId::parse(text).ok_or_else(|| "give 32 lower-case hexadecimal digits".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let digits = (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| text.to_ascii_lowercase()).ok_or_else(|| "give 4 to 64 hexadecimal digits".to_owned())
}

fn time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text).map_err(|_| "give a time such as 2026-06-01T00:00:00Z".to_owned())
}

/// Seconds.
fn age(text: &str) -> Result<i64, String> {
    let days = text.strip_suffix('d').map(|number| (number, 86_400));
    let (number, unit) =
        days.or_else(|| text.strip_suffix('h').map(|number| (number, 3_600))).unwrap_or(("", 1));
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u32>().ok().filter(|_| digits).map(|number| i64::from(number) * unit);
    seconds.ok_or_else(|| "give days or hours, for example 180d or 36h".to_owned())
}

fn reason(text: &str) -> Result<ErasureReason, String> {
    let known: Vec<&str> = ErasureReason::ALL.iter().map(|reason| reason.word()).collect();
    ErasureReason::from_word(text).ok_or_else(|| format!("the reasons are {}", known.join(", ")))
}

impl Erase {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let missing = || Failure::cannot(format!("{} holds no journal", self.journal.display()));
        let journal = locate(&self.journal).ok_or_else(missing)?;
        let which = self.which(&journal)?;
        if self.dry_run {
            return Ok(told(&survey(&journal, &which).map_err(refused)?, None));
        }
        let identity = identity(&self.home(&journal)?)?;
        let reason = self.reason.unwrap_or(ErasureReason::Retention);
        let stamp = || SystemClock.stamp(now().to_millis());
        let erased = erase(&journal, &which, reason, &identity, &stamp).map_err(refused)?;
        Ok(told(&erased.survey, Some((&erased, reason))))
    }

    fn which(&self, journal: &Path) -> Result<Which, Failure> {
        let ago =
            |seconds: i64| Which::Before(now().seconds().saturating_sub(seconds).saturating_mul(1_000_000));
        let chosen = [
            self.chain.map(Which::Chain),
            self.decision.clone().map(Which::Decision),
            self.counterparty.clone().map(Which::Counterparty),
            self.resource.clone().map(Which::Resource),
            self.before.map(|time| Which::Before(time.seconds().saturating_mul(1_000_000))),
            self.older_than.map(ago),
        ];
        if let Some(which) = chosen.into_iter().flatten().next() {
            return Ok(which);
        }
        let home = self.home(journal)?;
        let nothing = || {
            let path = home.dir().join("agent.toml");
            Failure::usage(format!("{} says no keep_days in a table [disclosures]", path.display()))
        };
        Ok(ago(i64::from(home.keep_days().ok_or_else(nothing)?) * 86_400))
    }

    /// The agent's directory: named, or the one that the journal is in.
    fn home(&self, journal: &Path) -> Result<AgentHome, Failure> {
        let around = || journal.ancestors().take(3).find(|folder| folder.join("agent.toml").is_file());
        let named = self.agent.as_deref().or_else(around);
        let nowhere = || Failure::usage("the journal is in no agent's directory; name it with --agent DIR");
        AgentHome::open(named.ok_or_else(nowhere)?, None).map_err(Failure::cannot)
    }
}

fn identity(home: &AgentHome) -> Result<Identity, Failure> {
    let papers = home.papers().map_err(Failure::cannot)?;
    let signer = Signer::soft(home.key().map_err(Failure::cannot)?);
    let certificate = AgentCertificate::decode(&papers.agent).map_err(Failure::cannot)?;
    if certificate.decoded().key() != signer.public() {
        let dir = home.dir().display();
        return Err(Failure::cannot(format!("{dir}: agent.pem and key.pem do not belong together")));
    }
    let agent = certificate.agent();
    Ok(Identity { agent, certificate: papers.agent, chain: papers.chain, signer: Arc::new(signer) })
}

fn refused(error: EraseError) -> Failure {
    match error {
        EraseError::Busy
        | EraseError::Protected { .. }
        | EraseError::OtherAgent { .. }
        | EraseError::NoDecision { .. }
        | EraseError::Ambiguous { .. } => Failure::no(error),
        _ => Failure::cannot(error),
    }
}

fn told(survey: &Survey, erased: Option<(&Erased, ErasureReason)>) -> Answer {
    let receipts: Vec<String> =
        erased.iter().flat_map(|(erased, _)| &erased.receipts).map(ToString::to_string).collect();
    let record = json!({
        "decisions": survey.decisions,
        "values": survey.values,
        "pieces": survey.pieces,
        "unsearchable": survey.unsearchable,
        "unsearched": survey.unsearched.iter().map(|it| json!({
            "stream": it.stream.to_string(), "segment": it.segment, "torn": it.torn,
        })).collect::<Vec<Value>>(),
        "erased": erased.is_some(),
        "reason": erased.map(|(_, reason)| reason.word()),
        "receipts": receipts,
        "finished_earlier": erased.is_some_and(|(erased, _)| erased.finished_earlier),
    });
    let verb = if erased.is_some() { "erased" } else { "would be erased" };
    let mut answer = Answer::yes(record)
        .line(format!("{verb}: {} values of {} decisions", survey.values, survey.decisions))
        .lines(receipts.iter().map(|receipt| format!("receipt: {receipt}")));
    if survey.pieces > 0 {
        answer =
            answer.line(format!("{verb}: {} ends of streams that recovery had put aside", survey.pieces));
    }
    if erased.is_some_and(|(erased, _)| erased.finished_earlier) {
        answer = answer.line("an earlier erasure that was interrupted was finished first");
    }
    if survey.unsearchable > 0 {
        answer = answer.warn(format!(
            "{} decisions name more than was kept (20 KiB), so nobody can tell whom; erase them by --decision or --before",
            survey.unsearchable
        ));
    }
    for place in &survey.unsearched {
        let Unsearched { stream, segment, torn } = place;
        answer = answer.exit(Exit::CannotEvaluate).warn(if *torn {
            format!(
                "stream {stream} ends in segment {segment} within a write that was torn: whose values are in it, nobody can \
                 say; once no process holds the stream, the next erasure overwrites and cuts it"
            )
        } else {
            format!("stream {stream} is damaged in segment {segment}: what lies behind was not searched")
        });
    }
    answer
}
