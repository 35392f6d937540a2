//! A packet capture in a namespace, by `tcpdump`, and what it saw.
//!
//! Only IPv4 TCP over Ethernet is read: that is all that crosses a mesh's bridge. `tcpdump` is installed by the machine's
//! package manager if it is missing.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use super::namespace::Namespace;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    child: Child,
    file: NamedTempFile,
}

/// One TCP segment with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// To whom.
    pub to: SocketAddrV4,
    /// The data.
    pub data: Vec<u8>,
}

impl Capture {
    /// Begins to capture on an interface of a namespace; returns once packets are being written.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        install()?;
        let file = NamedTempFile::new()?;
        let mut command = namespace.command("tcpdump");
        // As root, so that it may write the file; without any buffer, so that nothing is lost at its end.
        command
            .args(["-Z", "root", "--immediate-mode", "-U", "-i", interface, "-s", "0", "-w"])
            .arg(file.path())
            .arg("tcp");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut words = BufReader::new(child.stderr.take().context("no output")?);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            ensure!(words.read_line(&mut line)? > 0, "tcpdump ended");
        }
        // It must not stop because nobody reads its last words.
        std::thread::spawn(move || words.read_to_end(&mut Vec::new()));
        Ok(Self { child, file })
    }

    /// Ends it and reads what it saw.
    pub fn stop(mut self) -> Result<Vec<Segment>> {
        let asked = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status()?;
        ensure!(asked.success(), "cannot end tcpdump");
        self.child.wait()?;
        segments(&std::fs::read(self.file.path())?)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn install() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    operator::packages::install_missing(&[("tcpdump", "tcpdump")], &path, &super::mesh::say)?;
    Ok(())
}

/// The TCP segments with data in a capture file.
fn segments(file: &[u8]) -> Result<Vec<Segment>> {
    let magic = file.first_chunk::<4>().context("an empty capture")?;
    if u32::from_le_bytes(*magic) != 0xa1b2_c3d4 {
        bail!("not a capture in this machine's byte order");
    }
    let (mut rest, mut found) = (file.get(24..).unwrap_or_default(), Vec::new());
    while let Some(length) = rest.get(8..12).and_then(|bytes| bytes.first_chunk::<4>()) {
        let length = usize::try_from(u32::from_le_bytes(*length))?;
        let packet = rest.get(16..16 + length).context("a cut capture")?;
        found.extend(segment(packet));
        rest = rest.get(16 + length..).unwrap_or_default();
    }
    Ok(found)
}

/// One Ethernet frame, if it is IPv4 TCP with data.
fn segment(frame: &[u8]) -> Option<Segment> {
    let ip = frame.strip_prefix(frame.get(..12)?)?.strip_prefix(&[0x08, 0x00])?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    // Frames are padded to 60 bytes, so the length of the packet counts.
    let total = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk::<2>()?));
    let tcp = (*ip.get(9)? == 6).then(|| ip.get(header..total))??;
    let address = |at: usize| Some(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?));
    let port = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk::<2>()?));
    let data = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    (!data.is_empty()).then_some(Segment {
        from: SocketAddrV4::new(address(12)?, port(0)?),
        to: SocketAddrV4::new(address(16)?, port(2)?),
        data: data.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_frame_gives_its_data_only() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        // 20 bytes of IPv4 header, 20 of TCP header, 2 of data.
        let mut ip = vec![0x45, 0, 0, 42, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ip.extend([0x1f, 0x90, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
        ip.extend(b"hi");
        frame.extend(ip);
        frame.resize(60, 0);
        let found = segment(&frame).unwrap();
        assert_eq!(found.data, b"hi");
        assert_eq!(
            (found.from.to_string(), found.to.to_string()),
            ("10.0.0.1:8080".into(), "10.0.0.2:80".into())
        );
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1];
        file.resize(24, 0);
        file.extend([0; 8]);
        file.extend([60, 0, 0, 0, 60, 0, 0, 0]);
        file.extend(&frame);
        assert_eq!(segments(&file).unwrap(), [found]);
    }
}
