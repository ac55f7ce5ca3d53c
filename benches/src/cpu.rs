//! Clocks of work: how long a thread or a process has been on a processor.

use std::fs;
use std::io;
use std::time::Duration;

/// The kernel reports process times to user space in hundredths, whatever its own tick (proc(5), `USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;

/// What the calling thread has used so far.
///
/// # Errors
/// Where `/proc` does not tell.
pub fn of_this_thread() -> io::Result<Duration> {
    // The kernel brings the figure up to date when a thread yields; otherwise it is up to a tick old.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_ascii_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(unreadable)
}

/// What a process has used so far, all its threads together, in user and system mode. Grains of 10 ms.
///
/// # Errors
/// Where the process is gone.
pub fn of_process(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in brackets that may hold anything; user and system time are the 14th and 15th.
    let (_, fields) = text.rsplit_once(')').ok_or_else(unreadable)?;
    let times = fields.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>());
    let ticks = times.sum::<Result<u32, _>>().map_err(|_| unreadable())?;
    Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SEC))
}

/// The most memory a process has held at once, in KiB.
///
/// # Errors
/// Where the process is gone.
pub fn peak_memory_kib(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or_else(unreadable)?;
    line.trim().trim_end_matches(" kB").parse().map_err(|_| unreadable())
}

fn unreadable() -> io::Error {
    io::Error::other("/proc has another form than expected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::Instant;

    #[test]
    fn work_is_counted_and_sleep_is_not() {
        let (thread, process) = (of_this_thread().unwrap(), of_process(std::process::id()).unwrap());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(60) {
            black_box(begun.elapsed());
        }
        let worked = of_this_thread().unwrap() - thread;
        std::thread::sleep(Duration::from_millis(60));
        let slept = of_this_thread().unwrap() - thread - worked;
        assert!(worked > Duration::from_millis(5), "{worked:?}");
        assert!(slept < worked, "{slept:?}");
        assert!(of_process(std::process::id()).unwrap() > process);
        assert!(peak_memory_kib(std::process::id()).unwrap() > 100);
    }
}
