//! The one comment that a pull request has.

use super::*;

/// GitHub's interface for one request after the other: what it was asked, and comments as they are.
struct Api {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    /// Answers with these, each a status and a body; the last one again and again.
    fn start(answers: Vec<(u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut answers = answers.into_iter().peekable();
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                let (head, body) = loop {
                    let count = socket.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..count]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| {
                        line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                    });
                    if body.len() >= length.unwrap_or(0_usize) {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                let authorized =
                    head.lines().any(|line| line.eq_ignore_ascii_case("authorization: Bearer t0ken"));
                log.lock().unwrap().push(format!(
                    "{}{}\n{body}",
                    head.lines().next().unwrap_or_default(),
                    if authorized { "" } else { " without the token" }
                ));
                let (status, value) =
                    if answers.len() > 1 { answers.next().unwrap() } else { answers.peek().unwrap().clone() };
                let text = value.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    text.len()
                );
                socket.write_all(format!("{head}{text}").as_bytes()).unwrap();
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[test]
fn a_pull_request_has_one_comment() {
    let project = Project::new(&chain());
    project.write("words.txt", "some words");
    assert_snapshot!("ci-comment-no-run", project.run(&["ci", "comment"]));
    project.run(&["run"]);
    assert_snapshot!("ci-comment", project.run(&["ci", "comment", "--base", "last"]));
    assert_snapshot!("ci-comment-nowhere", project.run(&["ci", "comment", "--post"]));

    let event = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"repo": {"full_name": "us/demo"}}}});
    project.write("event.json", &event.to_string());
    let event = project.path("event.json");
    let post = |api: &Api, token: &[(&str, &str)]| {
        let job = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_PATH", event.to_str().unwrap()),
            ("GITHUB_REPOSITORY", "us/demo"),
            ("GITHUB_API_URL", &api.address),
        ];
        project.run_env(&["ci", "comment", "--post"], &[&job, token].concat())
    };
    let token = [("GITHUB_TOKEN", "t0ken")];
    let api = Api::start(vec![(200, json!([])), (201, json!({"id": 1}))]);
    assert_snapshot!("ci-comment-no-token", post(&api, &[]));
    assert_eq!(post(&api, &token), "exit 0\n--- stdout\ncommented on pull request 7\n");
    let asked = api.asked();
    assert!(
        asked[0].starts_with("GET /repos/us/demo/issues/7/comments?per_page=100&page=1 HTTP/1.1\n"),
        "{asked:?}"
    );
    assert!(asked[1].starts_with("POST /repos/us/demo/issues/7/comments HTTP/1.1\n"), "{asked:?}");
    let body: Value = serde_json::from_str(asked[1].split_once('\n').unwrap().1).unwrap();

    let there = json!([{"id": 3, "body": "hello"}, {"id": 4, "body": body["body"]}]);
    let api = Api::start(vec![(200, there)]);
    assert_eq!(post(&api, &token), "exit 0\n--- stdout\nthe comment on pull request 7 says so already\n");
    assert_eq!(api.asked().len(), 1);

    let older = body["body"].as_str().unwrap().replace("succeeded", "failed");
    let api = Api::start(vec![
        (500, json!({"message": "try again"})),
        (200, json!([{"id": 4, "body": older}])),
        (200, json!({"id": 4})),
    ]);
    assert_eq!(post(&api, &token), "exit 0\n--- stdout\nchanged the comment on pull request 7\n");
    let asked = api.asked();
    assert!(asked[2].starts_with("PATCH /repos/us/demo/issues/comments/4 HTTP/1.1\n"), "{asked:?}");

    let api = Api::start(vec![(403, json!({"message": "Resource not accessible by integration"}))]);
    assert_snapshot!("ci-comment-refused", post(&api, &token));
}
