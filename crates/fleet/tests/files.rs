//! Fleet files as people write them: bad ones with what they are told, good ones for every alternative of the grammar.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fleet::diagnostic::Report;
use fleet::load::{Input, load, load_text};
use fleet::{EnvValue, Fleet, Replicas};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

fn files(folder: &str) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(Path::new(CRATE).join("tests").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn bad_files_are_told_everything_at_once() {
    for (name, text) in files("bad") {
        let report = match load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new()) {
            Ok(loaded) => panic!("{name} was accepted: {}", loaded.intent_text),
            Err(report) => report,
        };
        let told = report.render(false);
        assert!(!told.contains("hunter2"), "{told}");
        insta::assert_snapshot!(format!("bad__{name}"), told);
    }
}

#[test]
fn every_alternative_of_the_grammar_is_accepted() {
    for (name, text) in files("good") {
        let loaded = load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new());
        let loaded = loaded.unwrap_or_else(|report| panic!("{name}: {report}"));
        let mut warnings = loaded.warnings;
        warnings.retain(|warning| !warning.message.contains(" yet: "));
        let warnings = Report::new(warnings);
        assert_eq!(warnings.warnings(), 0, "{name}: {warnings}");
    }
}

#[test]
fn the_reference_is_a_copy_of_the_contract() {
    let shared = Path::new(CRATE).join("../../../shared");
    if !shared.exists() {
        return;
    }
    for file in ["fleet.yaml", "meet.env", "finalize.sh", "plugins/mod_greeting.lua"] {
        let ours = std::fs::read(Path::new(CRATE).join("../../examples/reference").join(file)).unwrap();
        assert!(ours == std::fs::read(shared.join(file)).unwrap(), "examples/reference/{file} differs");
    }
}

const SMALL: &str =
    "fleet: meet\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters: { hq: { context: hq } }\n";

#[test]
fn layers_win_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.yaml");
    std::fs::write(folder.path().join("a.env"), "A=1\nMAX_PARTICIPANTS=1\nENABLE_LOBBY=0\nTZ=UTC\nLOG_LEVEL=file\n")
        .unwrap();
    std::fs::write(folder.path().join("b.env"), "ENABLE_LOBBY=false\nTZ=Europe/Berlin\n").unwrap();
    let text = format!(
        "{SMALL}env_files: [a.env, b.env]\nenv: {{ TZ: 007, LOG_LEVEL: info }}\ncontrol: {{ cluster: hq, web: {{ replicas: 3 }}, shards: {{ al-pha: {{ env: {{ MAX_PARTICIPANTS: true }} }} }}, prosody: {{ env: {{ LOG_LEVEL: 1 }} }} }}\ndata: {{ pools: {{ eu: {{ cluster: hq }} }} }}\n"
    );
    std::fs::write(&path, text).unwrap();
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    };
    let env = pairs(&[
        ("JITSICTL_CONTROL__WEB__REPLICAS", "4"),
        ("JITSICTL_CONTROL__HAPROXY__REPLICAS", "5"),
        ("JITSICTL_DATA__POOLS__EU__BRIDGES__REPLICAS", "{ min: 1, max: 2 }"),
        ("JITSICTL_CONTROL__SHARDS__AL_PHA__ENV__ENABLE_LOBBY", "1"),
        ("JITSICTL_FLEET", "elsewhere.yaml"),
        ("JITSICTL_LOG", "debug"),
        ("JITSICTL_TOKEN", "somebody else's"),
    ]);
    let overrides = pairs(&[("control.web.replicas", "6")]);
    let loaded = load(&Input { path, env: env.into_iter().collect(), overrides }).unwrap_or_else(|r| panic!("{r}"));
    let shard = &loaded.fleet.control.shards["al-pha"];
    assert_eq!((shard.web.replicas, loaded.fleet.control.haproxy.replicas), (6, 5));
    assert_eq!(loaded.fleet.data.pools[0].bridges.replicas, Replicas::Range { min: 1, max: 2, idle: 0 });
    let env = &shard.prosody.workload.env;
    for (name, value) in [("TZ", "007"), ("LOG_LEVEL", "1"), ("MAX_PARTICIPANTS", "true"), ("ENABLE_LOBBY", "1")] {
        assert_eq!(env.get(name), Some(&EnvValue::Plain(value.into())), "{name}");
    }
    assert!(!env.contains_key("A"));
}

#[test]
fn a_wrong_variable_is_named() {
    let text = format!(
        "{SMALL}control: {{ cluster: hq, shards: {{ alpha: {{}} }} }}\ndata: {{ pools: {{ eu: {{ cluster: hq }} }} }}\n"
    );
    let env = [("JITSICTL_CONTROL__WEP__REPLICAS", "4"), ("JITSICTL_CONTROL__WEB__REPLICAS", "four")];
    let env = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let report = load_text("fleet.yaml", &text, Path::new("/nowhere"), &env).unwrap_err();
    insta::assert_snapshot!("variables", report.render(false));
}

#[test]
fn what_nothing_acts_on_yet_is_told() {
    let text = &files("good").into_iter().find(|(name, _)| name == "everything").unwrap().1;
    let said = told(text);
    let expected = [
        "the bridges of pool `eu` don't scale yet: there are always 2 of them",
        "no cluster is left out yet: those named here get changes as all others do",
        "the window is not kept yet: what is to be replaced is replaced as soon as nobody is on it",
    ];
    assert_eq!(said, expected);
}

/// A fleet in two clusters with something else in the place of one piece of it.
fn with(changes: &[(&str, &str)]) -> String {
    let mut text = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq }, fra: { context: fra } }
env: { TZ: UTC, ENABLE_RECORDING: 1 }
control: { cluster: hq, shards: { alpha: {}, beta: {} }, xmpp: { expose: load_balancer } }
data:
  pools:
    eu: { cluster: fra, bridges: { replicas: 3, base_port: 30100 } }
    us: { cluster: fra, bridges: { replicas: 3, base_port: 30200 } }
"
    .to_owned();
    for (piece, instead) in changes {
        assert!(piece.is_empty() || text.contains(piece), "{piece}");
        text = if piece.is_empty() { format!("{text}{instead}\n") } else { text.replacen(piece, instead, 1) };
    }
    text
}

/// What is told of a text, each problem by its first line.
fn told(text: &str) -> Vec<String> {
    let problems = match load_text("fleet.yaml", text, Path::new("/nowhere"), &BTreeMap::new()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report.problems,
    };
    problems.into_iter().map(|problem| problem.message).collect()
}

/// Changes, and a part of every problem that is told of them.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// Two of its ports are taken twice.
const OVERLAP: (&str, &str) = ("base_port: 30200", "base_port: 30101");
/// There is no such cluster.
const NOWHERE: (&str, &str) = ("us: { cluster: fra", "us: { cluster: nowhere");

#[test]
fn one_mistake_hides_no_other() {
    let overlap = "would both listen on node ports 30101-30102 of cluster fra";
    let nowhere = "there is no cluster `nowhere`";
    let order = ["`hq` is no cluster of a pool", "rollout.order says nothing of fra"];
    let cases: &[Case<'_>] = &[
        (&[OVERLAP, ("fleet: meet", "fleet: Meet")], &["`Meet` is not", overlap]),
        (&[OVERLAP, ("fleet: meet", "fleet: 1meet")], &["`1meet` can't begin the names of Services", overlap]),
        (&[OVERLAP, ("fleet: meet\n", "")], &["`fleet` is missing", overlap]),
        (&[NOWHERE, ("url: https://meet.example.org", "url: meet")], &["`meet` is not the address", nowhere]),
        (&[NOWHERE, ("url: https://meet.example.org\n", "")], &["`url` is missing", nowhere]),
        (&[OVERLAP, ("release: stable-11146-2\n", "env_files: []\n")], &["`release` is missing", overlap]),
        (&[OVERLAP, ("release: stable-11146-2", "release: stable-9000")], &["no recipe fits", overlap]),
        (&[OVERLAP, ("fra: { context: fra }", "fra: {}")], &["`clusters.fra` needs `context`", overlap]),
        (&[OVERLAP, ("hq: { context: hq }", "hq: { context: hq, namespace: A }")], &["`A` is not", overlap]),
        (&[OVERLAP, ("control: { cluster: hq", "control: { cluster: HQ")], &["`HQ` is not", overlap]),
        (&[OVERLAP, ("control: { cluster: hq, ", "control: { ")], &["`control` needs `cluster`", overlap]),
        (&[OVERLAP, ("shards: { alpha", "shards: { Alpha")], &["`Alpha` is not", overlap]),
        (&[OVERLAP, ("shards: { alpha: {}, beta: {} }", "shards: {}")], &["the fleet has no shard", overlap]),
        (&[OVERLAP, ("expose: load_balancer", "expose: loadbalancer")], &["`loadbalancer` is not", overlap]),
        (&[OVERLAP, ("expose: load_balancer", "expose: node_port")], &["needs `node_port`", overlap]),
        (
            &[OVERLAP, ("expose: load_balancer", "expose: node_port, node_port: { addresses: [x] }")],
            &["`control.xmpp.node_port` needs `base`", "`x` is no IP address", overlap],
        ),
        (&[OVERLAP, ("expose: load_balancer", "expose: external")], &["needs `external`", overlap]),
        (
            &[
                OVERLAP,
                (
                    "expose: load_balancer",
                    "expose: external, external: { alpha: { a: \"h:1\" }, beta: { a: \"host:99999\" } }",
                ),
            ],
            &["`host:99999` is no host:port", overlap],
        ),
        (
            &[OVERLAP, ("control: { ", "control: { gateway: { name: a }, ingress: {}, ")],
            &["`gateway` and `ingress` are both said", overlap],
        ),
        (&[OVERLAP, ("control: { ", "control: { gateway: {}, ")], &["`control.gateway` needs `name`", overlap]),
        (&[OVERLAP, ("control: { ", "control: { haproxy: { image: a b }, ")], &["`a b` is no image", overlap]),
        (&[OVERLAP, ("control: { ", "control: { web: { image: a b }, ")], &["`a b` is no image", overlap]),
        (
            &[OVERLAP, ("control: { ", "control: { prosody: { storage: { class: a } }, ")],
            &["`control.prosody.storage` needs `size`", overlap],
        ),
        (
            &[
                ("TZ: UTC", "ENABLE_AUTH: 1, AUTH_TYPE: internal"),
                ("control: { ", "control: { prosody: { storage: { size: a } }, "),
            ],
            &[
                "`a` is no quantity",
                "`alpha` would lose its users: AUTH_TYPE=internal without `prosody.users`",
                "`beta` would",
            ],
        ),
        (&[OVERLAP, ("replicas: 3", "grace: 4hours, replicas: 3")], &["`4hours` is no duration", overlap]),
        (&[OVERLAP, ("replicas: 3", "advertise: [], replicas: 3")], &["must advertise something", overlap]),
        (&[OVERLAP, ("replicas: 3", "advertise: [{}], replicas: 3")], &["needs `annotation`", overlap]),
        (&[OVERLAP, ("replicas: 3", "advertise: [{ static: x }], replicas: 3")], &["`x` is no IP address", overlap]),
        (&[OVERLAP, ("replicas: 3", "advertise_fallback: x, replicas: 3")], &["`x` is no IP address", overlap]),
        (&[OVERLAP, ("replicas: 3", "replicas: { min: 4, max: 3 }")], &["min 4 is more than max 3", overlap]),
        (
            &[NOWHERE, ("replicas: 3", "replicas: { min: 4 }, scale: {}")],
            &["`data.pools.eu.bridges.replicas` needs `max`", nowhere],
        ),
        (&[OVERLAP, ("\n    us:", "\n    Us:")], &["`Us` is not"]),
        (
            &[("us: { cluster: fra", "us: { recorders: { replicas: 1 }")],
            &["`data.pools.us` needs `cluster`", "would lose their recordings: they have no storage"],
        ),
        (
            &[("us: { cluster: fra", "us: { cluster: Fra, recorders: { replicas: 1 }")],
            &["`Fra` is not", "would lose their recordings: they have no storage"],
        ),
        (
            &[
                OVERLAP,
                (
                    "us: { cluster: fra",
                    "us: { cluster: fra, recorders: { replicas: 1, storage: { empty_dir: x }, files: [{ path: /config/finalize.sh, text: a, mode: \"0555\" }] }",
                ),
            ],
            &["`x` is no quantity", overlap],
        ),
        (
            &[OVERLAP, ("us: { cluster: fra", "us: { cluster: fra, recorders: { replicas: 1, storage: { class: x } }")],
            &["`data.pools.us.recorders.storage` needs `size`", overlap],
        ),
        (
            &[
                OVERLAP,
                (
                    "us: { cluster: fra",
                    "us: { cluster: fra, recorders: { replicas: 1, storage: { empty_dir: 1Gi }, files: [{ path: /config/finalize.sh, file: none.sh, mode: \"0555\" }] }",
                ),
            ],
            &["file `none.sh` can't be read", overlap],
        ),
        (&[OVERLAP, ("data:\n", "data:\n  home: Fra\n")], &["`Fra` is not", overlap]),
        (
            &[
                OVERLAP,
                ("TZ: UTC", "ENABLE_AUTH: 1, AUTH_TYPE: jwt"),
                ("", "secrets: { JWT_APP_SECRET: { secret: x } }"),
            ],
            &["needs `key`", overlap],
        ),
        (&[OVERLAP, ("", "rollout: { soak: 5 }")], &["`5` is no duration", overlap]),
        (
            &[OVERLAP, ("", "rollout: { drain_deadline: 4hours, order: [hq] }")],
            &["`4hours` is no duration", overlap, order[0], order[1]],
        ),
        (&[("", "daemon: { listen: foo }\nrollout: { order: [hq] }")], &["`foo` is no address", order[0], order[1]]),
        (&[NOWHERE, ("", "rollout: { order: [HQ] }")], &["`HQ` is not", nowhere]),
        (
            &[(
                "",
                "rollout: { max_draining: 10, window: { days: mon-fry, start: \"25:00\", end: \"05:00\", zone: Mars/X } }",
            )],
            &[
                "`10` is no share",
                "`mon-fry` are no days",
                "`25:00` is no time",
                "`Mars/X` is no time zone",
                "the window is not kept yet",
            ],
        ),
        (
            &[OVERLAP, ("", "rollout: { window: { days: mon-fri } }")],
            &["needs `start`", "needs `end`", "needs `zone`", overlap],
        ),
        (
            &[OVERLAP, ("", "daemon: { webhooks: [{ secret: { env: X } }, { url: x }] }")],
            &["`daemon.webhooks.0` needs `url`", "`x` is no URL", overlap],
        ),
    ];
    let mut wrong = Vec::new();
    for (changes, expected) in cases {
        let text = with(changes);
        let told = told(&text);
        let all = expected.iter().all(|part| told.iter().any(|message| message.contains(part)));
        if !all || told.len() != expected.len() {
            wrong.push(format!("{text}\nwanted: {expected:#?}\ntold: {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn recordings_are_not_lost_to_a_script_that_cannot_run() {
    let storage = |storage: &str, more: &str| {
        with(&[(
            "us: { cluster: fra",
            &format!("us: {{ cluster: fra, recorders: {{ replicas: 1, storage: {storage}, {more} }}"),
        )])
    };
    let lost = "the recorders of pool `us` would lose their recordings: ";
    for (file, problem) in [
        ("files: [{ path: /config/finalize.sh, text: x }]", "/config/finalize.sh can't run: its mode is 0444"),
        ("files: [{ path: /config/finalize.sh, text: x, mode: \"0555\" }]", ""),
        ("files: [{ path: /config/finalize_it.sh, text: x, mode: \"0500\" }]", ""),
        ("files: [{ path: /config/it.sh, text: x, mode: \"0555\" }]", "an empty_dir goes with its pod"),
        ("env: { JIBRI_FINALIZE_RECORDING_SCRIPT_PATH: /bin/it }", ""),
        (
            "env: { JIBRI_FINALIZE_RECORDING_SCRIPT_PATH: /config/it }, files: [{ path: /config/it, text: x }]",
            "/config/it can't run: its mode is 0444",
        ),
    ] {
        let expected = if problem.is_empty() { Vec::new() } else { vec![format!("{lost}{problem}")] };
        assert_eq!(told(&storage("{ empty_dir: 20Gi }", file)), expected, "{file}");
    }
    let kept = told(&storage("{ size: 20Gi }", "files: [{ path: /config/finalize.sh, text: x }]"));
    assert_eq!(kept, ["/config/finalize.sh can't run: its mode is 0444"]);
}

#[test]
fn ports_of_one_cluster_are_told_apart_whatever_it_is_called() {
    let two_names = [
        ("hq: { context: hq }", "hq: { context: fra, namespace: n1 }"),
        (
            "us: { cluster: fra, bridges: { replicas: 3, base_port: 30200 }",
            "us: { cluster: hq, bridges: { replicas: 3, base_port: 30102 }",
        ),
    ];
    let one = "pools `eu` and `us` would both listen on node port 30102 of clusters fra and hq, which are one";
    assert_eq!(told(&with(&two_names)), [one]);
    let host = |port: &str| format!("base_port: {port}, expose: host_port");
    assert_eq!(
        told(&with(&[("base_port: 30200", &host("30101"))])),
        ["pools `eu` and `us` would both listen on port 30101 of cluster fra"]
    );
    for apart in ["30099", "30103", "10000"] {
        assert_eq!(told(&with(&[("base_port: 30200", &host(apart))])), [""; 0], "{apart}");
    }
    // Bridges of two pools that take the same port of their nodes go to different nodes.
    assert_eq!(told(&with(&[("base_port: 30200", &host("10000")), ("base_port: 30100", &host("10000"))])), [""; 0]);
    // What shards take is TCP.
    let xmpp = ("expose: load_balancer", "expose: node_port, node_port: { base: 30300 }");
    let beside = (
        "us: { cluster: fra, bridges: { replicas: 3, base_port: 30200",
        "us: { cluster: hq, bridges: { expose: host_port, base_port: 30300",
    );
    assert_eq!(told(&with(&[xmpp, beside])), [""; 0]);
}

#[test]
fn endpoints_lead_somewhere() {
    for (address, what) in [
        ("127.0.0.1", "leads each machine to itself"),
        ("::1", "leads each machine to itself"),
        ("::ffff:127.0.0.1", "leads each machine to itself"),
        ("0.0.0.0", "is no machine's address"),
        ("::", "is no machine's address"),
        ("224.0.0.1", "is a multicast address"),
        ("ff02::1", "is a multicast address"),
        ("169.254.1.1", "only leads to the same link"),
        ("fe80::1", "only leads to the same link"),
        ("10.0.0.1", ""),
        ("fd00::1", ""),
    ] {
        let port = if address.contains(':') { format!("[{address}]:5222") } else { format!("{address}:5222") };
        for expose in [
            format!("expose: node_port, node_port: {{ base: 30300, addresses: [192.0.2.1, \"{address}\"] }}"),
            format!("expose: external, external: {{ alpha: {{ a: \"h:1\", b: \"{port}\" }}, beta: {{ a: \"h:2\" }} }}"),
        ] {
            let told = told(&with(&[("expose: load_balancer", &expose)]));
            assert_eq!(told.len(), usize::from(!what.is_empty()), "{expose}: {told:?}");
            assert!(told.iter().all(|message| message.contains(what)), "{told:?}");
        }
    }
}

#[test]
fn files_of_a_component_fit_into_their_config_map() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::write(folder.path().join(name), "x".repeat(700 * 1024)).unwrap();
    }
    let told = |files: &str, pool: &str| -> Vec<String> {
        let text = with(&[
            ("control: { ", &format!("control: {{ web: {{ files: [{files}] }}, ")),
            ("us: { cluster: fra, bridges: { ", &format!("us: {{ cluster: fra, bridges: {{ files: [{pool}], ")),
        ]);
        match load_text("fleet.yaml", &text, folder.path(), &BTreeMap::new()) {
            Ok(_) => Vec::new(),
            Err(report) => report.problems.into_iter().map(|problem| problem.message).collect(),
        }
    };
    let (a, b) = ("{ path: /config/a, file: a }", "{ path: /config/b, file: b }");
    assert_eq!(told(a, b), [""; 0]);
    let said = |whose: &str| {
        format!("the files of {whose} have 1433600 bytes together; the ConfigMap that carries them holds 1032192")
    };
    let both = format!("{a}, {b}");
    assert_eq!(told(&both, &both), [said("web"), said("jvb of pool `us`")]);
    assert_eq!(told(&format!("{a}, {{ path: /config/b, config_map: m, key: k }}"), ""), [""; 0]);
}

#[test]
fn an_entry_that_was_renamed_is_what_it_was() {
    let before = with(&[]);
    let after = with(&[
        ("fra: { context: fra }", "main: { context: fra, renamed_from: fra }"),
        ("eu: { cluster: fra, ", "europe: { renamed_from: eu, cluster: main, "),
        ("us: { cluster: fra, ", "us: { cluster: main, "),
        ("alpha: {}", "one: { renamed_from: alpha }"),
    ]);
    let loaded = |text: &str| load_text("fleet.yaml", text, Path::new("/nowhere"), &BTreeMap::new());
    let (before, after) =
        (loaded(&before).unwrap(), loaded(&after).unwrap_or_else(|told| panic!("{}", told.render(false))));
    assert_eq!(after.intent_text, before.intent_text);
    assert_eq!(after.fleet.renames.shards["one"].as_str(), "alpha");
    let after = Fleet { renames: fleet::Renames::default(), ..after.fleet };
    assert_eq!(format!("{after:#?}"), format!("{:#?}", before.fleet));
}

#[test]
fn what_is_wrong_about_a_renamed_entry_is_told_where_it_stands() {
    let text = with(&[
        ("alpha: {}", "one: { renamed_from: beta }, two: { renamed_from: Bad }"),
        ("eu: { ", "europe: { renamed_from: eu, "),
    ])
    .replace("replicas: 1", "replicas: many");
    let report = load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new()).unwrap_err();
    let said: Vec<String> = report.problems.iter().map(|problem| problem.message.clone()).collect();
    assert!(said.iter().any(|said| said == "`one` can't be what `beta` was: there is another `beta`"), "{said:?}");
    for problem in &report.problems {
        assert!(!problem.labels.is_empty() && problem.labels.iter().all(|label| label.line > 1), "{problem:?}");
    }
}

#[test]
fn a_mistake_is_told_without_what_follows_from_it() {
    let image = [("control: { ", "control: { web: { image: \"foo bar\" }, "), ("TZ: UTC", "ENABLE_LOBBY: 1")];
    assert_eq!(told(&with(&image)), ["`foo bar` is no image reference"]);
    let expose = told(&with(&[("expose: load_balancer", "expose: loadbalancer")]));
    assert_eq!(expose.len(), 1, "{expose:?}");
    let target = "expose: external, external: { alpha: { a: \"h:1\" }, beta: { a: \"host:99999\" } }";
    assert_eq!(told(&with(&[("expose: load_balancer", target)])), ["`host:99999` is no host:port"]);
}

#[test]
fn the_way_out_fits_the_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("latin.env"), b"NAME=caf\xe9\n").unwrap();
    let text = with(&[("", "env_files: [latin.env, none.env]")]);
    let report = load_text("fleet.yaml", &text, folder.path(), &BTreeMap::new()).unwrap_err();
    let hints: Vec<Option<&str>> = report.problems.iter().map(|problem| problem.hint.as_deref()).collect();
    assert_eq!(hints, [Some("save it as UTF-8"), Some("paths are relative to the fleet file")]);
}

#[test]
fn nothing_requests_more_than_its_limit() {
    let resources = |requests: &str, limits: &str| {
        let web = format!("control: {{ web: {{ resources: {{ requests: {requests}, limits: {limits} }} }}, ");
        told(&with(&[("control: { ", &web)]))
    };
    let said = "memory 5Gi is requested, over a limit of 4Gi";
    assert_eq!(resources("{ memory: 5Gi, cpu: 1 }", "{ memory: 4096Mi, cpu: 2 }"), [said]);
    assert_eq!(resources("{ memory: 4Gi }", "{ memory: 4Gi }"), [""; 0]);
    assert_eq!(resources("{ memory: 5Gi }", "{ cpu: 1 }"), [""; 0]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "[a-z:{}\\[\\], &*\"'\n\t#|>-]{0,200}") {
        let _ = load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new());
    }

    #[test]
    fn no_mutation_of_the_reference_makes_it_panic(at in 0_usize..8000, cut in 0_usize..40, put in "[a-z:{}\\[\\], \n0-9é]{0,10}") {
        let folder = Path::new(CRATE).join("../../examples/reference");
        let mut text: Vec<char> = std::fs::read_to_string(folder.join("fleet.yaml")).unwrap().chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Err(report) = load_text("fleet.yaml", &text, &folder, &BTreeMap::new()) {
            proptest::prop_assert!(report.errors() > 0);
            let _ = report.render(true);
        }
    }
}
