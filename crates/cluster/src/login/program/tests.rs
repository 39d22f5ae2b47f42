use std::fs;
use std::path::Path;

use kube::config::ExecAuthCluster;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn script(folder: &Path, text: &str) -> ExecConfig {
    let path = folder.join("login");
    fs::write(&path, text).unwrap();
    ExecConfig { args: Some(vec![path.to_str().unwrap().to_owned()]), ..named("sh") }
}

fn named(command: &str) -> ExecConfig {
    serde_json::from_value(json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": command })).unwrap()
}

async fn run(exec: &ExecConfig) -> Result<Credential, String> {
    Program::of(exec, LIMIT).unwrap().run().await
}

/// What a program says that prints this.
async fn printing(text: &str) -> Result<Credential, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("answer"), text).unwrap();
    run(&script(folder.path(), "cat \"$(dirname \"$0\")/answer\"")).await
}

#[tokio::test]
async fn a_token_or_a_certificate_or_both() {
    let given = printing(r#"{"status": {"token": "sesame", "expirationTimestamp": "2030-01-01T00:00:00Z"}}"#).await;
    let given = given.unwrap();
    assert_eq!(given.token.as_ref().unwrap(), "Bearer sesame");
    assert_eq!(given.ends.unwrap().to_string(), "2030-01-01T00:00:00Z");
    assert!(given.certificate.is_none() && !format!("{given:?}").contains("sesame"));

    let text =
        "kind: ExecCredential\nstatus:\n  token: sesame\n  clientCertificateData: cert\n  clientKeyData: sesame\n";
    let given = printing(text).await.unwrap();
    assert!(given.token.is_some() && given.ends.is_none() && !format!("{given:?}").contains("sesame"));
    assert_eq!(given.certificate.unwrap().pem, "cert");
}

#[tokio::test]
async fn what_is_no_credential_is_not_repeated() {
    for (text, why) in [
        ("", "printed no credential"),
        ("sesame", "printed no credential"),
        ("{\"status\": {\"token\": [\"sesame\"]}}", "printed no credential"),
        ("{\"status\": {\"token\": \"\"}}", "printed no credential"),
        ("{\"status\": {\"token\": \"sesame\\nX: y\"}}", "gave a token that no request can carry"),
        ("{\"status\": {\"token\": \"sesame\", \"expirationTimestamp\": \"soon\"}}", "is no time"),
        ("{\"status\": {\"clientCertificateData\": \"sesame\"}}", "only one of a certificate and its key"),
    ] {
        let error = printing(text).await.unwrap_err();
        assert!(error.contains(why) && !error.contains("sesame"), "{text}: {error}");
    }
}

#[tokio::test]
async fn it_is_told_what_kubectl_tells_it_and_can_ask_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut exec = script(
        folder.path(),
        r#"test -z "$(cat)" || exit 1
printf '%s' "$KUBERNETES_EXEC_INFO" > "$WHERE"
echo "{\"status\": {\"token\": \"$1-$2\"}}""#,
    );
    let info = folder.path().join("info");
    exec.args.as_mut().unwrap().extend(["a".to_owned(), "b c".to_owned()]);
    exec.env =
        Some(vec![[("name", "WHERE"), ("value", info.to_str().unwrap())].map(|(k, v)| (k.into(), v.into())).into()]);
    assert_eq!(run(&exec).await.unwrap().token.unwrap(), "Bearer a-b c");
    let told = |path: &Path| serde_json::from_slice::<Json>(&fs::read(path).unwrap()).unwrap();
    let wanted = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": { "interactive": false },
    });
    assert_eq!(told(&info), wanted);

    exec.provide_cluster_info = true;
    let server = Some("https://192.0.2.1:6443".to_owned());
    exec.cluster = Some(ExecAuthCluster { server, config: Some(json!({ "audience": "x" })), ..Default::default() });
    run(&exec).await.unwrap();
    let cluster = json!({ "server": "https://192.0.2.1:6443", "config": { "audience": "x" } });
    let told = &told(&info)["spec"]["cluster"];
    assert!(told["server"] == cluster["server"] && told["config"] == cluster["config"], "{told}");
}

#[tokio::test]
async fn a_failure_is_told_by_the_last_line_of_stderr() {
    let folder = tempfile::tempdir().unwrap();
    for (text, why) in [
        ("echo sesame; echo 'please log in' >&2; echo >&2; exit 3", "ended with exit status: 3: please log in"),
        ("echo sesame; exit 1", "ended with exit status: 1: it printed no reason"),
        ("yes sesame | head -c 1048577", "printed more than any credential has"),
        ("yes sesame | head -c 300000; printf 'a\\tb' >&2; yes | head -c 300000 >/dev/null; exit 1", ": a b"),
    ] {
        let error = run(&script(folder.path(), text)).await.unwrap_err();
        assert!(error.contains(why) && !error.contains("sesame"), "{text}: {error}");
    }
    let error = run(&script(folder.path(), "yes long | tr -d '\\n' | head -c 300000 >&2; exit 1")).await.unwrap_err();
    assert!(error.len() < LAST_WORDS + 200, "{}", error.len());
}

#[tokio::test]
async fn one_that_is_missing_is_told_with_the_kubeconfigs_hint() {
    let mut exec = named("jitsictl-no-such-program");
    assert_eq!(run(&exec).await.unwrap_err(), "`jitsictl-no-such-program` is not installed here");
    exec.install_hint = Some("get it\nfrom the shelf".to_owned());
    let error = run(&exec).await.unwrap_err();
    assert!(error.ends_with("not installed here; the kubeconfig says of it: get it from the shelf"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let begun = tokio::time::Instant::now();
    let error = run(&script(folder.path(), "exec sleep 600")).await.unwrap_err();
    assert!(error.contains("did not end within 30s"), "{error}");
    assert_eq!(begun.elapsed(), LIMIT);
}

#[tokio::test]
async fn with_it_ends_what_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let exec = script(folder.path(), "exec 3>\"$(dirname \"$0\")/pipe\"\nsleep 600 &\necho >&3\nwait");
    let program = Program::of(&exec, LIMIT).unwrap();
    let running = tokio::spawn(async move { program.run().await });
    let mut reader = tokio::task::spawn_blocking(move || fs::File::open(pipe).unwrap()).await.unwrap();
    let mut said = [0; 1];
    std::io::Read::read_exact(&mut reader, &mut said).unwrap();
    running.abort();
    // It ends when nobody is left who could write into it.
    let rest = tokio::task::spawn_blocking(move || std::io::Read::read(&mut reader, &mut said).unwrap());
    assert_eq!(tokio::time::timeout(LIMIT, rest).await.unwrap().unwrap(), 0);
}
