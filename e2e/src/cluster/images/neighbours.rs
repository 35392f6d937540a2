//! Software that stands beside a mesh: Prometheus and nginx, as Debian has them, in one image.

use std::path::PathBuf;

use anyhow::Result;

use super::builtin;
use crate::cluster::layout::Layout;

/// The name of the image.
pub(in crate::cluster) const NAME: &str = "localhost/tulle-neighbours:1";
/// Its folder in the cache; the number changes with what is in it.
const FOLDER: &str = "image-neighbours-1";
const PACKAGES: &str = "prometheus,nginx-light";
const FILE: &str = "FROM scratch\nADD rootfs.tar /\nUSER 65532:65532\n";

/// The image's archive.
pub(in crate::cluster) fn ensure(layout: &Layout, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    builtin::ensure(layout, (NAME, FOLDER), FILE, progress, |context| {
        progress("fetching Prometheus and nginx with debootstrap (a minute, once)");
        builtin::debian(context, PACKAGES, FILE)
    })
}
