use super::*;

fn only(text: &str) -> Action {
    let mut steps = parse(text).unwrap().steps;
    assert_eq!(steps.len(), 1);
    steps.remove(0).action
}

#[test]
fn a_whole_scenario() {
    let script = parse(
        "# What it shows.\n\
         > pending until there is a binary\n\
         > alone\n\
         \n\
         > write fleet.yaml <<END\n\
         fleet: meet\n\
         \x20 # not a comment of ours\n\
         END\n\
         $ jitsictl check\n\
         ? 2\n\
         error: [..]\n\
         \n\
         \\$ not a command\n\
         ...\n\
         \n\
         > audit writes hq == 0\n",
    )
    .unwrap();
    assert_eq!(script.pending.as_deref(), Some("until there is a binary"));
    assert!(script.alone);
    assert_eq!(script.steps.iter().map(|step| step.line).collect::<Vec<_>>(), [5, 9, 16]);
    let text = "fleet: meet\n  # not a comment of ours\n".to_owned();
    assert_eq!(script.steps[0].action, Action::Write { path: "fleet.yaml".into(), text });
    let run = Run {
        command: "jitsictl check".into(),
        ending: Ending::Code(2),
        output: ["error: [..]", "", "$ not a command", "..."].map(str::to_owned).to_vec(),
        lines: 9..14,
    };
    assert_eq!(script.steps[1].action, Action::Run(run));
}

#[test]
fn a_command_may_say_nothing_and_succeeds_by_default() {
    let script = parse("$ one\n$ two\n? killed after 700ms\n...\n").unwrap();
    let [Step { action: Action::Run(one), .. }, Step { action: Action::Run(two), .. }] = script.steps.as_slice() else {
        panic!("{script:?}")
    };
    assert_eq!((one.ending, one.output.len(), one.lines.clone()), (Ending::Code(0), 0, 1..1));
    assert_eq!((two.ending, two.lines.clone()), (Ending::Killed(Duration::from_millis(700)), 2..4));
}

#[test]
fn directives() {
    let service =
        Object { cluster: "hq".into(), kind: "Service".into(), namespace: Some("a".into()), name: "b".into() };
    assert_eq!(
        only("> get hq Service a/b /spec/type == Load Balancer"),
        Action::Check {
            within: AT_ONCE,
            check: Check::Value {
                object: service.clone(),
                pointer: "/spec/type".into(),
                compare: Compare::Equal,
                value: "Load Balancer".into(),
            },
        }
    );
    let absent = Check::Absent { object: service.clone() };
    assert_eq!(
        only("> within 20s absent hq Service a/b"),
        Action::Check { within: Duration::from_secs(20), check: absent }
    );
    let addresses = vec!["192.0.2.7".to_owned(), "x.example.org".to_owned()];
    assert_eq!(only("> lb hq a/b 192.0.2.7 x.example.org"), Action::LoadBalancer { object: service, addresses });
    let requests = Requests::Of { verb: "list".into(), resource: "pods".into() };
    assert_eq!(
        only("> audit requests fra list pods <= 1"),
        Action::Audit { cluster: "fra".into(), requests, compare: Compare::AtMost, count: 1 }
    );
    assert_eq!(
        only("> edit a.yaml: base_port: 30000 => base_port: {port}\\nmore: 1"),
        Action::Edit {
            path: "a.yaml".into(),
            from: "base_port: 30000".into(),
            to: "base_port: {port}\nmore: 1".into(),
        }
    );
    let refusal = Refusal {
        namespace: "media".into(),
        resource: "services".into(),
        pointer: "/spec/type".into(),
        value: "NodePort".into(),
        message: "not for you: ever".into(),
    };
    assert_eq!(
        only("> admission fra media services /spec/type == NodePort: not for you: ever"),
        Action::Refuse { cluster: "fra".into(), refusal }
    );
    let text = "- verbs: [get]\n".to_owned();
    assert_eq!(
        only("> restrict fra in media <<END\n- verbs: [get]\nEND"),
        Action::Restrict { context: "fra".into(), namespace: Some("media".into()), text }
    );
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let error = |text| parse(text).unwrap_err().to_string();
    assert_eq!(error("\n> fly to the moon"), "line 2: `> fly to the moon` is no directive; tests/README.md lists them");
    assert_eq!(error("> write x <<END\nfoo"), "line 1: no line `END` ends this document");
    assert_eq!(error("> write x"), "line 1: `> write x` is not `> write PATH <<END`");
    assert_eq!(error("$ a\n? often"), "line 1: `often` is no exit code");
    assert_eq!(error("> within soon absent hq Pod a/b"), "line 1: `soon` is no time like 500ms or 20s");
    assert!(error("stray").starts_with("line 1: `stray` follows no command"));
}
