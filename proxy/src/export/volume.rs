//! Whether the directory of the budget ledger outlives the pod.
//!
//! Promise: nobody's silence makes a budget that a restart would renew. An
//! `emptyDir` lies on the node's disk and looks like any other directory, so in
//! Kubernetes only the operator's word counts. Elsewhere silence is believed,
//! unless the directory is in memory or in the layers of a container.
//!
//! A ledger that no pod owns outlives them all.

use std::path::{Path, PathBuf};

use privet_dp::ledger::Durability;

use crate::config::{Exports, Volume};

/// Kubernetes sets it in every container.
const IN_KUBERNETES: &str = "KUBERNETES_SERVICE_HOST";

/// File systems that end with a container or with the machine's uptime.
const FLEETING: [&str; 4] = ["tmpfs", "ramfs", "overlay", "fuse.fuse-overlayfs"];

/// What a ledger outlives, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// What it outlives.
    pub durability: Durability,
    /// What was seen or said, in words that a sentence begins with; nothing where it lasts.
    pub because: String,
}

impl Lifetime {
    /// A ledger that outlives its pod.
    #[must_use]
    pub const fn lasting(durability: Durability) -> Self {
        Self { durability, because: String::new() }
    }

    /// A file that goes with its pod.
    #[must_use]
    pub const fn of_pod(because: String) -> Self {
        Self { durability: Durability::PodLife, because }
    }
}

/// What the exports' directory outlives.
pub(crate) fn lifetime(exports: &Exports) -> Lifetime {
    if exports.shared.is_some() {
        return Lifetime::lasting(Durability::Shared);
    }
    match exports.volume {
        Volume::Persistent => Lifetime::lasting(Durability::Volume),
        Volume::Pod => Lifetime::of_pod("`exports.volume` is `pod`".to_owned()),
        Volume::Unsaid => {
            // What cannot be read vouches for nothing.
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            unsaid(std::env::var_os(IN_KUBERNETES).is_some(), &mounts, &existing(&exports.directory))
        }
    }
}

fn unsaid(in_kubernetes: bool, mounts: &str, directory: &Path) -> Lifetime {
    match file_system(mounts, directory) {
        Some(kind) if FLEETING.contains(&kind) => {
            Lifetime::of_pod(format!("`exports.directory` is on a file system of the kind {kind}"))
        }
        _ if in_kubernetes => Lifetime::of_pod(
            "in Kubernetes a directory is not known to outlive its pod until `exports.volume` says so".to_owned(),
        ),
        Some(_) => Lifetime::lasting(Durability::Volume),
        None => Lifetime::of_pod("the file system of `exports.directory` cannot be told".to_owned()),
    }
}

/// The directory, or what is there of the way to it, without links.
fn existing(directory: &Path) -> PathBuf {
    directory.ancestors().find_map(|ancestor| ancestor.canonicalize().ok()).unwrap_or_default()
}

/// The kind of file system that a directory is in, by proc(5)'s `mountinfo`: the
/// mount nearest to it, and of two at one place the later.
fn file_system<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        Some((PathBuf::from(unescaped(mount.split(' ').nth(4)?)), file_system.split(' ').next()?))
    });
    let around = mounts.filter(|(place, _)| directory.starts_with(place));
    around.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind)
}

/// A path as it is, from `mountinfo`, which writes four characters in octal.
fn unescaped(written: &str) -> String {
    [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")]
        .into_iter()
        .fold(written.to_owned(), |path, (octal, character)| path.replace(octal, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a
30 22 254:1 / /var/lib/privet rw,relatime shared:2 - ext4 /dev/vda1 rw
31 30 0:30 / /var/lib/privet/memory rw - tmpfs tmpfs rw
32 22 254:2 / /the\040disk rw - xfs /dev/vdb rw
33 32 0:31 / /the\040disk rw - ramfs none rw
";

    fn found(directory: &str) -> Option<&str> {
        file_system(MOUNTS, Path::new(directory))
    }

    #[test]
    fn the_nearest_mount_says_what_the_file_system_is() {
        assert_eq!(found("/srv/exports"), Some("overlay"));
        assert_eq!(found("/var/lib/privet/exports"), Some("ext4"));
        assert_eq!(found("/var/lib/privet2"), Some("overlay"), "a name that begins alike is another name");
        assert_eq!(found("/var/lib/privet/memory/exports"), Some("tmpfs"));
        assert_eq!(found("/the disk/exports"), Some("ramfs"), "what was mounted later is on top");
        assert_eq!(file_system("", Path::new("/srv")), None);
    }

    #[test]
    fn silence_is_believed_outside_of_pods_and_on_disks_alone() {
        let (disk, layers) = (Path::new("/var/lib/privet/exports"), Path::new("/srv/exports"));
        assert_eq!(unsaid(false, MOUNTS, disk), Lifetime::lasting(Durability::Volume));
        for (found, because) in [
            (unsaid(true, MOUNTS, disk), "in Kubernetes"),
            (unsaid(false, MOUNTS, layers), "of the kind overlay"),
            (unsaid(true, MOUNTS, layers), "of the kind overlay"),
            (unsaid(false, "", disk), "cannot be told"),
        ] {
            assert_eq!(found.durability, Durability::PodLife, "{because}");
            assert!(found.because.contains(because), "{}", found.because);
        }
    }

    #[test]
    fn the_operators_word_counts() {
        let said = |volume| {
            lifetime(&Exports {
                directory: PathBuf::from("/proc"),
                volume,
                shared: None,
                ring: None,
                publish: Default::default(),
                token_file: None,
            })
            .durability
        };
        assert_eq!(said(Volume::Persistent), Durability::Volume);
        assert_eq!(said(Volume::Pod), Durability::PodLife);
    }
}
