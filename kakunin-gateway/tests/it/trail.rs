//! The paper trail of a call between two agents: two journals, one chain, verified together by the root alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::bundle::export;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::{Clock, Guard, GuardOptions, StateChoice};
use kakunin_core::receipt::Event;
use kakunin_core::report::{Inquiry, Told};
use kakunin_core::scope::NameLists;
use kakunin_core::verify::{Report, Timeline, Verdict, Verification};
use kakunin_gateway::{Gateway, GatewayOptions};

use crate::world::{Agent, SHOP, World, buy};

/// Without windows: a state directory that no authority vouched for knows of none.
const SCOPE: &str = r#"
actions = ["orders:create"]
[[limit]]
for = ["orders:create"]
currency = "EUR"
per_action = "100.00"
"#;

/// A shop and a buyer that keep their journals on a disk.
struct Trail {
    world: World,
    buyer: Agent,
    temp: tempfile::TempDir,
}

impl Trail {
    fn new() -> Self {
        let mut world = World::new();
        let temp = tempfile::tempdir().unwrap();
        let kept = |agent: &Agent, clock: &Arc<dyn Clock>, name: &str| {
            let state = StateChoice::Path(temp.path().join(name));
            let options = GuardOptions { clock: Arc::clone(clock), state, ..GuardOptions::default() };
            Guard::in_memory(Arc::clone(&agent.source), options).unwrap()
        };
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        world.shop.guard = kept(&world.shop, &clock, "shop");
        let mut buyer = world.agent(SCOPE);
        buyer.guard = kept(&buyer, &clock, "buyer");
        Self { world, buyer, temp }
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn anchors(&self) -> TrustAnchors {
        TrustAnchors::new(self.buyer.papers.roots.iter().map(Vec::as_slice)).unwrap()
    }

    /// The buyer buys within a call of its own, and what the shop decides follows from that.
    fn buys(&self, gateway: &Gateway, amount: &str) -> &'static str {
        let context = CallContext { chain: Guard::new_chain(), ..CallContext::default() };
        let running = self.buyer.guard.admit_in(&buy("1.00"), &context).unwrap().begin().unwrap();
        let link = running.link().unwrap();
        let sent = self.buyer.sends("POST", "/orders", None, amount.as_bytes(), Some(&link));
        let caller = sent.to(gateway).unwrap();
        assert_eq!(caller.link().map(ChainLink::from), running.receipt());
        let answer = match caller.admit(&buy(amount)) {
            Ok(pass) => {
                pass.begin().unwrap().returned();
                "allow"
            }
            Err(refused) => refused.code(),
        };
        running.returned();
        answer
    }

    fn close(&self) {
        self.buyer.guard.close();
        self.world.shop.guard.close();
    }

    fn verify(&self, journals: &[&str]) -> (Report, Timeline) {
        let (anchors, names, mut timeline) =
            (self.anchors(), NameLists::default(), Timeline::of_at_most(100));
        let paths: Vec<PathBuf> = journals.iter().map(|name| self.journal(name)).collect();
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let terms = Verification::by(&anchors).replay(&names);
        (terms.journals(&paths, Vec::new(), &mut timeline).unwrap(), timeline)
    }
}

fn reasons(report: &Report) -> Vec<&'static str> {
    match report.verdict() {
        Verdict::AuthenticNotComplete(reasons) => reasons.iter().map(|reason| reason.code()).collect(),
        _ => vec!["other verdict"],
    }
}

#[test]
fn a_call_between_two_agents_is_one_chain_in_two_journals() {
    let trail = Trail::new();
    let gateway = trail.world.gateway_with(GatewayOptions::named([SHOP]));
    assert_eq!(trail.buys(&gateway, "12.50"), "allow");
    assert_eq!(trail.buys(&gateway, "100.01"), "scope.amount");
    trail.close();
    let (report, timeline) = trail.verify(&["buyer", "shop"]);
    // Nobody else saw the ends; nothing else is missing, no parent among it.
    assert_eq!(reasons(&report), ["tail.not_witnessed", "tail.not_witnessed"]);
    let replay = report.replay().unwrap();
    assert_eq!((replay.same, replay.open), (4, 0), "the shop's two by the buyer's scope");
    // Each of the shop's decisions follows from the buyer's, and tells whose it is.
    let steps = timeline.into_steps();
    let of_shop: Vec<_> = steps.iter().filter(|step| step.statement.event.caller().is_some()).collect();
    assert_eq!(of_shop.len(), 2);
    for step in of_shop {
        let Event::Decision { caller: Some(caller), .. } = &step.statement.event else { panic!() };
        assert_eq!((caller.agent, step.statement.agent), (trail.buyer.id, trail.world.shop.id));
        let parent = steps.iter().find(|other| Some(&other.hash) == step.statement.parents.first()).unwrap();
        assert_eq!(parent.statement.agent, trail.buyer.id);
        assert_eq!(parent.statement.chain.unwrap().0, step.statement.chain.unwrap().0);
    }
    // The gateway's alone is authentic, and lacks what its decisions follow from.
    let (report, _) = trail.verify(&["shop"]);
    assert_eq!(reasons(&report), ["tail.not_witnessed", "parent.missing"]);
    assert_eq!(report.replay().unwrap().same, 2);
}

#[test]
fn one_chain_of_both_is_exported_and_drawn() {
    let trail = Trail::new();
    let gateway = trail.world.gateway_with(GatewayOptions::named([SHOP]));
    assert_eq!(trail.buys(&gateway, "12.50"), "allow");
    trail.close();
    let (_, timeline) = trail.verify(&["buyer", "shop"]);
    let chain = timeline.into_steps().iter().find_map(|step| step.statement.chain).unwrap().0;
    let out = trail.journal("incident.zip");
    let journals = [trail.journal("buyer"), trail.journal("shop")];
    let journals: Vec<&Path> = journals.iter().map(PathBuf::as_path).collect();
    export(&journals, &mut [], Some(chain), &out).unwrap();
    let account = Inquiry::by(trail.anchors()).replay(NameLists::default()).of(&out, &[], &mut ()).unwrap();
    let told = account.to_lines(Told::OneChain).join("\n");
    let buyer: String = trail.buyer.id.to_string().chars().take(8).collect();
    assert!(told.contains(&format!("asked by {buyer} (signature)")), "{told}");
    let json = account.to_record(Told::OneChain);
    let callers: Vec<&str> = json["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step["caller"]["agent"].as_str())
        .collect();
    assert_eq!((json["exit_code"].as_u64(), json["invalid"].is_null()), (Some(3), true));
    assert_eq!(callers, [trail.buyer.id.to_string()]);
    let page = account.to_page();
    assert!(page.contains("which signed the request"));
    assert!(page.contains(&trail.buyer.id.to_string()));
}
