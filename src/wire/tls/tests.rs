use super::Direction::{Request, Response};
use super::*;

mod gaps;
mod properties;
mod real;

/// One millisecond.
const MS: u64 = 1_000_000;
/// Length of a `Finished` record with the suite of [`server_hello`].
const FINISHED: u16 = 53;

/// Feeds whole calls, each with its time in milliseconds.
fn read(calls: &[(Direction, u64, Vec<u8>)]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (direction, at, bytes) in calls {
        connection.feed(*direction, Chunk::whole(at * MS, bytes), &mut |fact| facts.push(fact));
    }
    facts
}

/// The facts in short, for comparisons.
fn brief(facts: &[Fact]) -> Vec<String> {
    facts.iter().map(brief_one).collect()
}

fn brief_one(fact: &Fact) -> String {
    let ms = |at: &u64| at / MS;
    match fact {
        Fact::ClientHello { started, at, hello } => {
            let cut = if hello.cut { " cut" } else { "" };
            let name = hello.server_name.as_deref().unwrap_or("?");
            format!("hello of {name} {:?}{cut} @{}..{}", hello.protocols, ms(started), ms(at))
        }
        Fact::ServerHello { at, hello } => {
            let cut = if hello.cut { " cut" } else { "" };
            let version = hello.version.map_or("?".to_owned(), |version| version.to_string());
            format!("hello {version}{cut} @{}", ms(at))
        }
        Fact::HandshakeEnded { at, resumed } => format!("handshake ended {resumed:?} @{}", ms(at)),
        Fact::Alert { direction, at, alert } => {
            let name = alert.map_or("encrypted", |alert| alert.name().unwrap_or("?"));
            format!("{direction:?} alert {name} @{}", ms(at))
        }
        Fact::RequestStarted { exchange, at } => format!("{exchange} request started @{}", ms(at)),
        Fact::RequestEnded { exchange, at, bytes } => format!("{exchange} request ended {bytes} @{}", ms(at)),
        Fact::ResponseStarted { exchange, at } => format!("{exchange} response started @{}", ms(at)),
        Fact::Content { exchange, at, gap } => format!("{exchange} content after {} @{}", ms(gap), ms(at)),
        Fact::ResponseEnded { exchange, at, bytes } => format!("{exchange} response ended {bytes} @{}", ms(at)),
        Fact::NotTls { direction, at } => format!("not TLS {direction:?} @{}", ms(at)),
    }
}

/// A record of this type that carries so many bytes.
fn record(kind: u8, length: u16) -> Vec<u8> {
    carrying(kind, &vec![0; usize::from(length)])
}

fn carrying(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]][..], body].concat()
}

fn data(length: u16) -> Vec<u8> {
    record(23, length)
}

/// A change of ciphers.
fn change() -> Vec<u8> {
    record(20, 1)
}

/// A handshake message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, length[1], length[2], length[3]][..], body].concat()
}

fn extension(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0, kind, 0, body.len() as u8][..], body].concat()
}

/// A client's hello, without its record's head.
fn client_message() -> Vec<u8> {
    let name = b"API.example.com";
    let name = [&[0, name.len() as u8 + 3, 0, 0, name.len() as u8][..], name].concat();
    let extensions = [extension(0, &name), extension(16, b"\0\x0c\x02h2\x08http/1.1"), extension(43, &[2, 3, 4])].concat();
    let head = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0], &(extensions.len() as u16).to_be_bytes()].concat();
    message(1, &[head, extensions].concat())
}

fn client_hello() -> Vec<u8> {
    carrying(22, &client_message())
}

/// A server's hello, without its record's head.
fn server_message(random: [u8; 32], suite: u16, extensions: &[u8]) -> Vec<u8> {
    let [high, low] = suite.to_be_bytes();
    let head = [&[3, 3][..], &random, &[0, high, low, 0], &(extensions.len() as u16).to_be_bytes()].concat();
    message(2, &[&head, extensions].concat())
}

fn server_hello() -> Vec<u8> {
    carrying(22, &server_message([7; 32], 0x1301, &extension(43, &[3, 4])))
}

/// A handshake of TLS 1.3 from 0 to 10 ms, and calls after it.
fn after_handshake(calls: &[(Direction, u64, Vec<u8>)]) -> Vec<String> {
    let handshake = [
        (Request, 0, client_hello()),
        (Response, 10, [server_hello(), change(), data(900)].concat()),
        (Request, 10, [change(), data(FINISHED)].concat()),
    ];
    let facts = brief(&read(&[&handshake, calls].concat()));
    assert_eq!(facts[..2], ["hello of api.example.com [\"h2\", \"http/1.1\"] @0..0", "hello 1.3 @10"]);
    assert_eq!(facts[2], "handshake ended Some(false) @10");
    facts[3..].to_vec()
}

#[test]
fn an_exchange_inside_is_told_with_its_times_and_bytes() {
    let facts = after_handshake(&[
        (Request, 11, data(100)),
        (Request, 12, data(40)),
        (Response, 112, data(60)),
        (Response, 132, [data(60), data(60)].concat()),
        (Request, 200, data(30)),
        (Response, 250, data(70)),
    ]);
    assert_eq!(
        facts,
        [
            "0 request started @11",
            "0 request ended 140 @12",
            "0 response started @112",
            "0 content after 20 @132",
            "0 response ended 180 @132",
            "1 request started @200",
            "1 request ended 30 @200",
            "1 response started @250",
        ]
    );
}

#[test]
fn session_tickets_are_no_answer() {
    let facts = after_handshake(&[
        (Request, 11, data(100)),
        (Response, 20, data(200)),
        (Response, 60, data(200)),
        (Response, 117, data(60)),
    ]);
    let started: Vec<_> = facts.iter().filter(|fact| fact.starts_with("0 response started")).collect();
    assert_eq!(started, ["0 response started @20", "0 response started @60", "0 response started @117"]);
}

#[test]
fn session_tickets_before_the_first_request_are_nothing() {
    let facts = after_handshake(&[(Response, 12, data(200)), (Request, 500, data(90)), (Response, 510, data(20))]);
    assert_eq!(facts, ["0 request started @500", "0 request ended 90 @500", "0 response started @510"]);
}

#[test]
fn a_large_record_is_an_answer_however_soon_it_comes() {
    let facts = after_handshake(&[(Request, 11, data(100)), (Response, 21, data(4000)), (Response, 31, data(30))]);
    assert_eq!(facts[2..], ["0 response started @21", "0 content after 10 @31"]);
}

#[test]
fn a_request_goes_on_over_tickets_that_come_in_between() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let micro = |at: u64| at * 1_000;
    for (direction, at, bytes) in [
        (Request, 0, client_hello()),
        (Response, micro(200), [server_hello(), data(900)].concat()),
        (Request, micro(300), data(FINISHED)),
        (Request, micro(400), data(100)),
        (Response, micro(500), data(250)),
        (Request, micro(600), data(5000)),
        (Response, micro(90_000), data(60)),
    ] {
        connection.feed(direction, Chunk::whole(at, &bytes), &mut |fact| facts.push(fact));
    }
    let last = [
        Fact::RequestEnded { exchange: 0, at: micro(600), bytes: 5100 },
        Fact::ResponseStarted { exchange: 0, at: micro(90_000) },
    ];
    assert_eq!(facts[facts.len() - 2..], last);
}

#[test]
fn a_record_that_comes_in_parts_moves_with_each_of_them() {
    let large = data(16_000);
    let facts = after_handshake(&[
        (Request, 11, large[..3].to_vec()),
        (Request, 12, large[3..9_000].to_vec()),
        (Request, 13, large[9_000..].to_vec()),
        (Response, 113, large[..9_000].to_vec()),
        (Response, 143, large[9_000..].to_vec()),
    ]);
    assert_eq!(
        facts,
        ["0 request started @12", "0 request ended 16000 @13", "0 response started @113", "0 content after 30 @143"]
    );
}

#[test]
fn the_handshake_of_tls_1_2_ends_with_the_second_finished() {
    let hello = carrying(22, &server_message([7; 32], 0xc02f, &extension(16, b"\0\x03\x02h2")));
    let facts = read(&[
        (Request, 0, client_hello()),
        (Response, 10, [hello, record(22, 900), record(22, 4)].concat()),
        (Request, 11, [record(22, 37), change(), record(22, 40)].concat()),
        (Response, 21, [record(22, 200), change(), record(22, 40)].concat()),
        (Request, 22, data(100)),
        (Response, 32, data(100)),
        (Response, 42, data(100)),
    ]);
    let Fact::ServerHello { hello, .. } = &facts[1] else { panic!("{facts:?}") };
    assert_eq!((hello.version, hello.protocol.as_deref()), (Some(Version::TLS12), Some("h2")));
    assert_eq!(
        brief(&facts)[2..],
        [
            "handshake ended Some(false) @21",
            "0 request started @22",
            "0 request ended 100 @22",
            // There are no tickets to be mistaken.
            "0 response started @32",
            "0 content after 10 @42",
        ]
    );
}

#[test]
fn a_resumed_handshake_of_tls_1_2_ends_with_the_clients_finished() {
    let hello = carrying(22, &server_message([7; 32], 0xc02f, &[]));
    let facts = brief(&read(&[
        (Request, 0, client_hello()),
        (Response, 10, [hello, change(), record(22, 40)].concat()),
        (Request, 12, [change(), record(22, 40)].concat()),
    ]));
    assert_eq!(facts[1..], ["hello 1.2 @10", "handshake ended Some(true) @12"]);
}

#[test]
fn a_client_of_tls_1_2_need_not_wait_for_the_servers_finished() {
    let hello = carrying(22, &server_message([7; 32], 0xc02f, &[]));
    let facts = brief(&read(&[
        (Request, 0, client_hello()),
        (Response, 10, [hello, record(22, 900)].concat()),
        (Request, 12, [record(22, 37), change(), record(22, 40), data(100)].concat()),
        (Response, 22, [change(), record(22, 40), data(50)].concat()),
    ]));
    assert_eq!(
        facts[2..],
        ["handshake ended Some(false) @10", "0 request started @12", "0 request ended 100 @12", "0 response started @22",]
    );
}

#[test]
fn a_session_taken_up_in_tls_1_3_is_told() {
    let hello = carrying(22, &server_message([7; 32], 0x1302, &[extension(43, &[3, 4]), extension(41, &[0, 0])].concat()));
    let facts =
        brief(&read(&[(Request, 0, client_hello()), (Response, 10, [hello, data(100)].concat()), (Request, 11, data(69))]));
    assert_eq!(facts[2], "handshake ended Some(true) @11");
}

#[test]
fn early_data_is_asked_when_the_handshake_ends() {
    let facts = brief(&read(&[
        (Request, 0, [client_hello(), change(), data(300)].concat()),
        (Response, 10, [server_hello(), change(), data(100)].concat()),
        // Its end, and the Finished.
        (Request, 11, [data(21), data(FINISHED)].concat()),
        (Response, 111, data(60)),
    ]));
    assert_eq!(
        facts[2..],
        ["handshake ended Some(false) @11", "0 request started @11", "0 request ended 300 @11", "0 response started @111",]
    );
}

#[test]
fn a_second_hello_is_part_of_the_handshake() {
    let retry = carrying(22, &server_message(super::hello::RETRY, 0x1301, &extension(43, &[3, 4])));
    let facts = brief(&read(&[
        (Request, 0, client_hello()),
        (Response, 10, [retry, change()].concat()),
        (Request, 11, [change(), client_hello()].concat()),
        (Response, 21, [server_hello(), data(900)].concat()),
        (Request, 22, data(FINISHED)),
        (Request, 30, data(80)),
    ]));
    assert_eq!(facts[1..], ["hello 1.3 @21", "handshake ended Some(false) @22", "0 request started @30"]);
}

#[test]
fn a_clients_certificate_is_no_request() {
    // In records of its own, and with a request at once.
    let facts = after_handshake_with(&[data(800), data(280), data(FINISHED), data(100)]);
    assert_eq!(
        facts,
        ["handshake ended Some(false) @11", "0 request started @11", "0 request ended 100 @11", "0 response started @111"]
    );
    // All in one record, and with a request at once.
    let facts = after_handshake_with(&[data(1100), data(100)]);
    assert_eq!(
        facts,
        ["handshake ended Some(false) @11", "0 request started @11", "0 request ended 100 @11", "0 response started @111"]
    );
    // All in one record.
    assert_eq!(after_handshake_with(&[data(1100)]), ["handshake ended Some(false) @11"]);
}

fn after_handshake_with(flight: &[Vec<u8>]) -> Vec<String> {
    let calls = [
        (Request, 0, client_hello()),
        (Response, 10, [server_hello(), data(900)].concat()),
        (Request, 11, flight.concat()),
        (Response, 111, data(60)),
    ];
    brief(&read(&calls))[2..].to_vec()
}

#[test]
fn a_client_that_does_not_trust_says_so_in_the_clear_or_not() {
    let facts = read(&[
        (Request, 0, client_hello()),
        (Response, 10, [server_hello(), data(900)].concat()),
        (Request, 11, carrying(21, &[2, 48])),
    ]);
    assert_eq!(brief(&facts)[2..], ["Request alert unknown_ca @11"]);
    let Some(Fact::Alert { alert: Some(alert), .. }) = facts.last() else { panic!("{facts:?}") };
    assert!(alert.is_distrust() && alert.level == 2);
    let facts = brief(&read(&[
        (Request, 0, client_hello()),
        (Response, 10, [server_hello(), data(900)].concat()),
        (Request, 11, [change(), data(19)].concat()),
    ]));
    assert_eq!(facts[2..], ["Request alert encrypted @11"]);
}

#[test]
fn a_server_may_refuse_the_hello() {
    let facts = brief(&read(&[(Request, 0, client_hello()), (Response, 10, carrying(21, &[2, 40]))]));
    assert_eq!(facts[1..], ["Response alert handshake_failure @10"]);
}

#[test]
fn a_goodbye_is_neither_request_nor_answer() {
    let facts = after_handshake(&[
        (Request, 100, data(100)),
        (Response, 200, data(60)),
        (Response, 210, data(19)),
        (Request, 220, data(19)),
    ]);
    assert_eq!(facts[3..], ["Response alert encrypted @210", "Request alert encrypted @220"]);
}

#[test]
fn the_end_of_a_direction_tells_what_it_ends() {
    let calls = [
        (Request, 0, client_hello()),
        (Response, 10, [server_hello(), data(900)].concat()),
        (Request, 11, data(FINISHED)),
        (Request, 100, data(100)),
    ];
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (direction, at, bytes) in &calls {
        connection.feed(*direction, Chunk::whole(at * MS, bytes), &mut |fact| facts.push(fact));
    }
    facts.clear();
    connection.end(Request, 101 * MS, &mut |fact| facts.push(fact));
    connection.feed(Response, Chunk::whole(150 * MS, &data(70)), &mut |fact| facts.push(fact));
    connection.end(Response, 160 * MS, &mut |fact| facts.push(fact));
    connection.end(Response, 161 * MS, &mut |fact| facts.push(fact));
    assert_eq!(brief(&facts), ["0 request ended 100 @100", "0 response started @150", "0 response ended 70 @150"]);
}

#[test]
fn other_protocols_are_told_apart_by_their_first_bytes() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x08\x04\xd2\x16\x2f", &[22, 3, 1, 0, 2, 2, 0], &[23, 3, 3, 0, 1, 0]] {
        let facts = read(&[(Request, 0, bytes.to_vec()), (Request, 1, client_hello())]);
        assert_eq!(facts, [Fact::NotTls { direction: Request, at: 0 }], "{bytes:?}");
    }
    let facts = brief(&read(&[(Request, 0, client_hello()), (Response, 1, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]));
    assert_eq!(facts[1..], ["not TLS Response @1"]);
    let facts = brief(&read(&[(Response, 0, b"220 smtp".to_vec()), (Request, 1, client_hello())]));
    assert_eq!(facts, ["not TLS Response @0"]);
}

#[test]
fn a_hello_may_come_in_several_records_and_calls() {
    let message = client_message();
    let hello = [carrying(22, &message[..3]), carrying(22, &message[3..40]), carrying(22, &message[40..])].concat();
    let facts = read(&hello.chunks(7).enumerate().map(|(at, part)| (Request, at as u64, part.to_vec())).collect::<Vec<_>>());
    let end = hello.len() / 7;
    assert_eq!(brief(&facts), [format!("hello of api.example.com [\"h2\", \"http/1.1\"] @0..{end}")]);
}

#[test]
fn what_follows_a_hello_in_its_record_is_no_second_one() {
    let hello = carrying(22, &[client_message(), client_message(), vec![0; 40]].concat());
    let facts = read(&hello.chunks(7).map(|part| (Request, 0, part.to_vec())).collect::<Vec<_>>());
    assert_eq!(brief(&facts), ["hello of api.example.com [\"h2\", \"http/1.1\"] @0..0"]);
}
