//! Processes as the system lists them: who descends from whom, what they hold in memory, and whose they are.
//!
//! A process that calls `setsid` leaves its group, and one whose parent ends leaves its tree. What it can't lose by accident is
//! its environment: each stage's has a token of its own ([`TOKEN`]), by which strays are found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Variable that marks every process of one start of a stage program.
pub(super) const TOKEN: &str = "STAGEWRIGHT_STAGE_TOKEN";

/// Rounds of killing what a dying process may still have started.
const ROUNDS: u32 = 8;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: i32,
    group: i32,
    /// Resident pages.
    resident: u64,
}

/// Numbers of all processes.
fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Numbers of processes that may have been started after `pid`. The system counts upwards and starts again from the
/// bottom, so unless it has gone round since, these are the numbers between that one and the last one given.
fn after(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let last = text.split_whitespace().nth(4).and_then(|last| last.parse::<i32>().ok());
    let newer = |number: &i32| match last {
        Some(last) if last >= pid => (pid..=last).contains(number),
        Some(last) => *number >= pid || *number <= last,
        None => true,
    };
    all().into_iter().filter(newer).collect()
}

fn process(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Process> {
    // The second field is the program's name in parentheses and may itself hold blanks and parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<i64>().ok();
    let number = |index| i32::try_from(field(index)?).ok();
    Some(Process {
        parent: number(1)?,
        group: number(2)?,
        resident: u64::try_from(field(21)?).unwrap_or_default(),
    })
}

/// Bytes of main memory that a process group and all that descends from it hold. What several of them share counts once
/// where the system can tell.
pub(super) fn memory(leader: i32, limit: u64) -> u64 {
    let listed: BTreeMap<i32, Process> =
        all().into_iter().filter_map(|pid| Some((pid, process(pid)?))).collect();
    let members = family(leader, &listed);
    let page = rustix::param::page_size() as u64;
    let resident: u64 = members.iter().filter_map(|pid| Some(listed.get(pid)?.resident * page)).sum();
    if resident <= limit || members.len() < 2 {
        return resident;
    }
    // Pages that a process shares with its children are in each one's count above. The exact count takes much longer.
    members.iter().map(|pid| shared_out(*pid).unwrap_or_default()).sum()
}

/// The leader, its group, and all that descends from them.
fn family(leader: i32, listed: &BTreeMap<i32, Process>) -> BTreeSet<i32> {
    let mut members: BTreeSet<i32> = listed
        .iter()
        .filter(|(pid, one)| **pid == leader || one.group == leader)
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let children =
            listed.iter().filter(|(pid, one)| members.contains(&one.parent) && !members.contains(pid));
        let children: Vec<i32> = children.map(|(pid, _)| *pid).collect();
        if children.is_empty() {
            return members;
        }
        members.extend(children);
    }
}

/// A process's memory with each shared page divided among those that share it.
fn shared_out(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Kills every process that carries a token, wherever it has gone; gives how many. `since` is the first of them and how long
/// ago it was started; without it all processes are looked through.
pub(super) fn kill_marked(token: &str, since: Option<(i32, Duration)>) -> usize {
    /// Within this, a machine does not give out all its numbers.
    const ROUND_TRIP: Duration = Duration::from_secs(60);
    let wanted = format!("{TOKEN}={token}");
    let (mut killed, mut gone) = (0, BTreeSet::new());
    for _ in 0..ROUNDS {
        let candidates = match since {
            Some((first, age)) if age < ROUND_TRIP => after(first),
            _ => all(),
        };
        let mut looks: Vec<(i32, Look)> =
            candidates.into_iter().map(|pid| (pid, kill_if_marked(pid, &wanted))).collect();
        // What had ended before this round, and is not waited for yet, has started nothing since.
        looks.retain(|(pid, look)| *look != Look::Other && (*look != Look::Gone || gone.insert(*pid)));
        killed += looks.iter().filter(|(_, look)| *look == Look::Killed).count();
        if looks.is_empty() {
            break;
        }
        if looks.iter().any(|(_, look)| *look == Look::Loading) {
            // The system fills a new program's memory within microseconds, where it has a processor to do so.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    killed
}

/// What a look at a process showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Killed,
    /// Without the token.
    Other,
    /// It ended before it could be asked, and may have started another one first.
    Gone,
    /// Between two programs (`execve`), where its environment can't be read.
    Loading,
}

fn kill_if_marked(pid: i32, wanted: &str) -> Look {
    match look(pid, wanted) {
        Some(look) => look,
        None => match Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
            // Asked again now that the handle stands for one process: the number may have gone to another one in between.
            Some(handle) => {
                look(pid, wanted).unwrap_or_else(|| match pidfd_send_signal(&handle, Signal::KILL) {
                    Ok(()) => Look::Killed,
                    Err(_) => Look::Gone,
                })
            }
            None => Look::Gone,
        },
    }
}

/// Nothing where the process has the token.
fn look(pid: i32, wanted: &str) -> Option<Look> {
    let environment = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environment) => environment,
        // Another user's.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Some(Look::Other),
        Err(_) => return Some(Look::Gone),
    };
    if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
        return None;
    }
    if !environment.is_empty() {
        return Some(Look::Other);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    Some(stat.ok().and_then(|stat| without_environment(&stat)).unwrap_or(Look::Gone))
}

/// Why a process shows no environment, by its line in `/proc/PID/stat` (proc_pid_stat(5)).
fn without_environment(stat: &str) -> Option<Look> {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, flags, env_end) = (*fields.first()?, fields.get(6)?, fields.get(48)?);
    Some(match (state, flags.parse::<u64>().ok()?, env_end.parse::<u64>().ok()?) {
        ("Z" | "X", _, _) => Look::Gone,
        (_, flags, _) if flags & KERNEL_THREAD != 0 => Look::Other,
        // Its memory has no place for an environment yet.
        (_, _, 0) => Look::Loading,
        _ => Look::Other,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let rest = "S 7 9 9 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 55 1000000 321 18446744073709551615 1 1";
        for name in ["sh", "a) b (c", ") S 1 1"] {
            let found = parse(&format!("12 ({name}) {rest}")).unwrap();
            assert_eq!(found, Process { parent: 7, group: 9, resident: 321 });
        }
        assert_eq!(parse("12 (sh) S"), None);
    }

    #[test]
    fn a_family_is_the_group_and_all_that_descends_from_it() {
        let one = |parent, group| Process { parent, group, resident: 1 };
        let listed = BTreeMap::from([
            (1, one(0, 1)),
            (10, one(1, 10)),
            // In the group, its parent gone.
            (11, one(1, 10)),
            // Left the group.
            (12, one(11, 12)),
            (13, one(12, 12)),
            (20, one(1, 20)),
        ]);
        assert_eq!(family(10, &listed), BTreeSet::from([10, 11, 12, 13]));
    }

    #[test]
    fn memory_is_counted_where_it_is_held() {
        let before = memory(std::process::id() as i32, u64::MAX);
        let held = vec![1u8; 64 << 20];
        let after = memory(std::process::id() as i32, u64::MAX);
        assert!(before > 1 << 20 && after >= before + (60 << 20), "{before} {after} {}", held.len());
    }

    #[test]
    fn what_left_its_group_and_lost_its_parent_is_found_by_its_token() {
        let [token, other] = [0, 1].map(|_| uuid::Uuid::now_v7().simple().to_string());
        let start = |token: &str| {
            // The shell ends at once; what it leaves behind is nobody's child and in a session of its own.
            let script = "setsid sh -c 'echo $$; exec sleep 600' & exit 0";
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).env(TOKEN, token).stdout(Stdio::piped()).process_group(0);
            let mut child = shell.spawn().unwrap();
            let (leader, mut line) = (child.id() as i32, String::new());
            std::io::BufRead::read_line(
                &mut std::io::BufReader::new(child.stdout.take().unwrap()),
                &mut line,
            )
            .unwrap();
            child.wait().unwrap();
            (leader, line.trim().parse::<i32>().unwrap())
        };
        let (leader, stray) = start(&token);
        let (_, bystander) = start(&other);
        let alive = |pid: i32| {
            process(pid).is_some()
                && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| !all.is_empty())
        };
        assert!(alive(stray) && alive(bystander));
        assert!(kill_marked(&token, Some((leader, Duration::ZERO))) >= 1);
        let until = Instant::now() + Duration::from_secs(5);
        while alive(stray) {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(alive(bystander));
        assert!(kill_marked(&other, None) >= 1);
    }
}
