//! The steps of a schedule, as text and as draws. Every sequence of steps can be run, so that a failing schedule can be
//! shrunk by leaving steps out.

use std::fmt;
use std::str::FromStr;

use crate::source::Source;

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    text: String,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no step: expected a word and all its values, such as `remove device=1 joined=0`", self.text)
    }
}

impl std::error::Error for StepError {}

macro_rules! steps {
    ($($(#[$doc:meta])* $weight:literal $name:ident $word:literal { $($(#[$about:meta])* $field:ident: $values:expr,)* })*) => {
        /// One step. The values are small numbers; whatever they are, they stand for something.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])* $name { $($(#[$about])* $field: i32,)* },)* }

        impl Step {
            /// Draws a step.
            pub fn draw(source: &mut impl Source) -> Self {
                const TOTAL: u32 = 0 $(+ $weight)*;
                let drawn = source.below(TOTAL);
                let mut until = 0;
                $(
                    until += $weight;
                    if drawn < until {
                        return Self::$name { $($field: source.pick($values),)* };
                    }
                )*
                Self::Timeout {}
            }
        }

        impl fmt::Display for Step {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($field,)* } => {
                        f.write_str($word)?;
                        $(write!(f, concat!(" ", stringify!($field), "={}"), $field)?;)*
                        Ok(())
                    })*
                }
            }
        }

        impl FromStr for Step {
            type Err = StepError;

            fn from_str(text: &str) -> Result<Self, StepError> {
                let error = || StepError { text: text.to_owned() };
                let mut words = text.split_whitespace();
                let word = words.next().ok_or_else(error)?;
                let mut value = |name: &str| {
                    let pair = words.next().and_then(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
                    pair.and_then(|(_, value)| value.parse::<i32>().ok()).ok_or_else(error)
                };
                let step = match word {
                    $($word => Self::$name { $($field: value(stringify!($field))?,)* },)*
                    _ => return Err(error()),
                };
                if words.next().is_some() { Err(error()) } else { Ok(step) }
            }
        }
    };
}

const DEVICES: &[i32] = &[0, 0, 1, 1, 2, 3];
const CLIENTS: &[i32] = &[0, 0, 0, 1, 1, 2, 3, 4, 5];
const PLACES: &[i32] = &[0, 0, 0, 1, 2, 3];
const OTHERS: &[i32] = &[0, 0, 0, 0, 0, 0, 0, 1, 2];
const UNTIL: &[i32] = &[-5, 0, 1, 2, 4, 20, 60, 170, 300, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999];
const FROM: &[i32] = &[-60, -60, -60, -60, -60, -60, 0, 1, 3, 30];
const JOINED: &[i32] = &[0, 0, 0, 1];
const RULES: &[i32] = &[0, 0, 0, 0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 10, 10, 10, 11, 11, 12, 12, 13, 14];
const BACK: &[i32] = &[0, 0, 0, 1, 1, 2, 3, 4, 6, 9, 15];
const SPANS: &[i32] = &[
    0, 0, 1, 1, 50, 50, 300, 300, 1_000, 1_000, 1_000, 1_000, 2_000, 2_000, 4_999, 4_999, 5_000, 5_000, 15_000, 15_000,
    30_000, 30_000, 60_000, 60_000, 120_000, 120_000, 180_000, 180_000, 3_600_000,
];
const SKEWS: &[i32] = &[0, 0, 0, 0, 0, 0, 0, 0, -1_500, 1_500, -3_000, 3_000, -60_000, 60_000, -86_400_000, 86_400_000];
const FLAWS: &[i32] =
    &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5];

steps! {
    /// The control plane writes a lease and commits it as a delta.
    7 Lease "lease" {
        /// The device.
        device: DEVICES,
        /// Whose key: its own, or that of the device so many further.
        key: OTHERS,
        /// Whose address, likewise; 9 is outside of the network.
        address: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 9],
        /// The pre-shared key; 0 is none.
        psk: &[0, 0, 0, 0, 1, 2],
        /// Seconds from this moment to its start.
        from: FROM,
        /// Seconds to its end; 9999 is never.
        until: UNTIL,
        /// The same for the sign-in window; -1 asks for none.
        sign_in: &[-1, -1, -1, -1, -1, -1, 0, 2, 60, 9_999],
        /// The first rule.
        rule: RULES,
        /// Seconds to its end.
        rule_until: UNTIL,
        /// The second rule.
        second: RULES,
        /// Seconds to its start.
        second_from: FROM,
        /// Seconds to its end.
        second_until: UNTIL,
        /// 1 waits for the next change and is committed with it.
        joined: JOINED,
    }
    /// The control plane sends a lease again, with the ends it had.
    3 Reissue "reissue" {
        /// The device.
        device: DEVICES,
        /// Whether the wall clock of the control plane was set back by that many seconds.
        set_back: &[0, 0, 10, 3_600],
        /// 1 gives the second rule alone.
        narrowed: &[0, 0, 1],
        /// 1 waits for the next change.
        joined: JOINED,
    }
    /// The control plane removes a lease.
    3 Remove "remove" {
        /// The device.
        device: DEVICES,
        /// 1 waits for the next change.
        joined: JOINED,
    }
    /// The control plane begins or lifts a lockdown.
    2 Lockdown "lockdown" {
        /// 1 begins it.
        on: &[0, 0, 0, 1],
        /// The exempt devices, as bits.
        exempt: &[0, 0, 1, 2, 15],
        /// 1 waits for the next change.
        joined: JOINED,
    }
    /// The control plane writes a snapshot of what is in force.
    2 Snapshot "snapshot" {}
    /// A message comes, counted back from the last one written; it may have come before.
    6 Deliver "deliver" {
        /// How far back.
        back: BACK,
    }
    /// All messages that did not come yet come in order.
    12 Sync "sync" {}
    /// The next message does not come in order.
    2 Lose "lose" {}
    /// The gateway writes a ping, and the control plane the answer.
    10 Beat "beat" {
        /// Seconds of authority.
        ttl: &[30, 30, 30, 30, 5, 3_600],
        /// Seconds that the echo is ahead of the boot clock.
        ahead: &[0, 0, 0, 0, 0, 0, 0, 0, 100],
        /// 1 brings the answer at once.
        at_once: &[0, 1, 1, 1],
    }
    /// The machine has other addresses.
    2 Own "own" {
        /// Which, as bits.
        which: &[0, 1, 2, 3, 4, 7],
    }
    /// A name that rules lead to was resolved.
    5 Resolve "resolve" {
        /// The name.
        name: &[0, 0, 0, 1],
        /// What its addresses are.
        which: &[0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7],
    }
    /// Time passes.
    14 Pass "pass" {
        /// On the boot clock, in milliseconds.
        boot_ms: SPANS,
        /// What the wall clock does more or less than that.
        skew_ms: SKEWS,
    }
    /// Timers run.
    8 Timeout "timeout" {}
    /// The gateway starts anew.
    1 Restart "restart" {}
    /// It starts anew with several cores.
    1 Spread "spread" {
        /// How many.
        cores: &[1, 2, 2, 3, 3, 7],
        /// How many cores further than it should everything arrives.
        astray: &[0, 0, 1, 2],
    }
    /// A client shakes hands.
    10 Connect "connect" {
        /// The client; 4 has the key of client 0 too.
        client: CLIENTS,
        /// From where.
        place: PLACES,
    }
    /// A client begins to shake hands and does not go on.
    2 Initiate "initiate" {
        /// The client.
        client: CLIENTS,
        /// From where.
        place: PLACES,
    }
    /// A client takes in what the gateway sent to its place.
    5 Answer "answer" {
        /// The client.
        client: CLIENTS,
    }
    /// A client takes another pre-shared key.
    2 Psk "psk" {
        /// The client.
        client: CLIENTS,
        /// The key; 0 is none.
        psk: &[0, 1, 2],
    }
    /// A client sends a packet.
    40 Up "up" {
        /// The client.
        client: CLIENTS,
        /// From where; -1 is where it was.
        place: &[-1, -1, -1, -1, -1, 0, 1, 2],
        /// Whose inner address: its own, the next device's, a resource's.
        source: &[0, 0, 0, 0, 0, 0, 0, 0, 1, 2],
        /// The destination.
        to: &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 10, 10, 11, 12, 12, 12, 13, 14, 14, 15,
            15, 16, 17,
        ],
        /// What it is.
        kind: &[0, 0, 1, 1, 2, 3, 4, 4, 4, 5, 6],
        /// Its own port.
        port: &[0, 0, 0, 1],
        /// The port at the destination.
        service: &[0, 0, 0, 0, 0, 0, 1, 2, 3],
        /// What is wrong with it.
        flaw: FLAWS,
        /// 1 seals with an older session.
        older: &[0, 0, 0, 0, 0, 0, 0, 1],
    }
    /// A client sends an ICMP error about a packet of a flow.
    3 UpError "up-error" {
        /// The client.
        client: CLIENTS,
        /// The flow, counted back.
        flow: BACK,
        /// What is bent in it; 4 names the other side's end.
        bend: &[0, 0, 0, 1, 2, 3, 4],
    }
    /// A packet comes from a resource.
    40 Down "down" {
        /// The flow it belongs to, counted back.
        flow: BACK,
        /// What is bent in it; 4 is sent from where the device sees it come from.
        bend: &[0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        /// What it is.
        kind: &[0, 0, 0, 0, 1, 2, 3],
        /// What is wrong with it.
        flaw: FLAWS,
    }
    /// Packets from a resource come as one, with its checksum left open.
    12 DownMany "down-many" {
        /// The flow they belong to, counted back.
        flow: BACK,
        /// What is bent in it, as above.
        bend: &[0, 0, 0, 0, 0, 0, 0, 1, 3, 4],
        /// What they are: 1 ends a TCP connection.
        kind: &[0, 0, 0, 1],
        /// How many.
        parts: &[1, 2, 3, 9],
        /// How many bytes the last one has; all others have 64.
        last: &[64, 20],
    }
    /// A datagram that was sent once comes again.
    4 Replay "replay" {
        /// Which, counted back.
        back: BACK,
        /// From where.
        place: PLACES,
    }
    /// A datagram that was sent comes with a byte changed.
    3 Tamper "tamper" {
        /// Which, counted back.
        back: BACK,
        /// From where.
        place: PLACES,
        /// The byte.
        byte: &[0, 1, 4, 7, 8, 12, 16, 20, 36, 44, 50, 60, 64, 90, 120, 140],
    }
    /// Bytes of no meaning come.
    1 Rubbish "rubbish" {
        /// The type.
        kind: &[0, 1, 2, 3, 4, 5],
        /// How many.
        len: &[0, 1, 16, 32, 64, 92, 148, 200],
    }
}

/// Steps that make an ordinary beginning: two people connected.
const PROLOGUE: &str = "\
lease device=0 key=0 address=0 psk=0 from=-60 until=9999 sign_in=-1 rule=0 rule_until=9999 second=1 second_from=-60 second_until=300 joined=1
lease device=1 key=0 address=0 psk=0 from=-60 until=9999 sign_in=60 rule=0 rule_until=60 second=2 second_from=-60 second_until=9999 joined=0
snapshot
deliver back=0
beat ttl=30 ahead=0 at_once=1
connect client=0 place=0
connect client=1 place=1
";

/// The same with service addresses, one of them for a name, on one core or several.
const SERVICES: &str = "\
lease device=0 key=0 address=0 psk=0 from=-60 until=9999 sign_in=-1 rule=9 rule_until=9999 second=10 second_from=-60 second_until=300 joined=1
lease device=1 key=0 address=0 psk=0 from=-60 until=9999 sign_in=60 rule=12 rule_until=60 second=9 second_from=-60 second_until=9999 joined=0
snapshot
deliver back=0
resolve name=0 which=0
beat ttl=30 ahead=0 at_once=1
connect client=0 place=0
connect client=1 place=1
";

/// How many steps are drawn for a schedule at most; the beginning and what keeps a world going come on top.
const LENGTH: u32 = 50;

/// Draws a schedule of about 60 steps. Three in four have an ordinary beginning, and one in three runs on several cores. In three in four most disturbances are
/// followed by what keeps a real world going: messages that come, heartbeats, handshakes; without it little would pass,
/// and what never passes cannot be caught passing.
pub fn schedule(source: &mut impl Source) -> Vec<Step> {
    let mut steps = Vec::new();
    if source.below(3) == 0 {
        steps.push(Step::Spread { cores: source.pick(&[2, 3, 7]), astray: source.pick(&[0, 1]) });
    }
    steps.extend(
        read(["", PROLOGUE, PROLOGUE, SERVICES].get(source.below(4) as usize).unwrap_or(&"")).unwrap_or_default(),
    );
    let care = source.pick(&[0, 4, 7, 8]);
    let length = source.below(LENGTH).saturating_add(5);
    for _ in 0..length {
        let step = Step::draw(source);
        steps.push(step);
        if source.pick(&[0, 1, 2, 3, 4, 5, 6, 7]) < care {
            mend(&mut steps, step, source);
        }
    }
    steps
}

/// A question to the database, by an address of its own or by a service address.
fn honest(client: i32, source: &mut impl Source) -> Step {
    let (to, kind, port) =
        (source.pick(&[0, 0, 0, 1, 1, 10, 11, 12]), source.pick(&[0, 1, 4, 5]), source.pick(&[0, 1]));
    Step::Up { client, place: -1, source: 0, to, kind, port, service: 0, flaw: 0, older: 0 }
}

/// Adds what the world does after such a step.
#[expect(clippy::wildcard_enum_match_arm, reason = "most steps need nothing after them")]
fn mend(steps: &mut Vec<Step>, step: Step, source: &mut impl Source) {
    let beat = Step::Beat { ttl: 30, ahead: 0, at_once: 1 };
    match step {
        Step::Pass { boot_ms, .. } => {
            steps.extend([Step::Timeout {}, beat]);
            if boot_ms >= 120_000 && source.below(2) == 0 {
                steps.extend([0, 1].map(|client| Step::Connect { client, place: client }));
            }
            steps.push(honest(source.pick(&[0, 1]), source));
        }
        Step::Lease { joined: 0, .. }
        | Step::Reissue { joined: 0, .. }
        | Step::Remove { joined: 0, .. }
        | Step::Lockdown { joined: 0, .. } => {
            steps.extend([Step::Sync {}, beat, Step::Connect { client: 0, place: 0 }, honest(0, source)]);
            steps.extend([Step::Connect { client: 1, place: 1 }, honest(1, source)]);
        }
        Step::Lose {} | Step::Restart {} | Step::Spread { .. } => {
            steps.extend([Step::Sync {}, beat]);
            steps.extend([0, 1].map(|client| Step::Connect { client, place: client }));
        }
        Step::Psk { client, psk } => steps.push(Step::Connect { client, place: psk }),
        Step::Connect { client, .. } => steps.push(honest(client, source)),
        Step::Up { flaw: 0, source: 0, kind: 0..=5, .. } if source.below(2) == 0 => {
            let flow = source.pick(BACK);
            steps.push(match source.below(3) {
                0 => Step::DownMany { flow, bend: 0, kind: 0, parts: source.pick(&[1, 3]), last: 20 },
                _ => Step::Down { flow, bend: 0, kind: 0, flaw: 0 },
            });
        }
        Step::Down { .. } => {
            let client = source.pick(CLIENTS);
            steps.push(Step::Answer { client });
        }
        _ => {}
    }
}

/// Reads a schedule: a step a line; empty lines and what follows a `#` are left out.
///
/// # Errors
/// The line that is no step.
pub fn read(text: &str) -> Result<Vec<Step>, StepError> {
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(step, _)| step).trim());
    lines.filter(|line| !line.is_empty()).map(str::parse).collect()
}

/// Writes a schedule, a step a line.
#[must_use]
pub fn write(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}
