//! The configuration files of the components, from the templates beside this file.

use std::fs;

use anyhow::Result;
use operator::identity::files;
use serde_json::json;

use super::layout::{ADDRESS, API_PORT, BRIDGE, DNS, Layout, NODE, POD_SUBNET};
use super::pki;

/// Files under the folder of configuration, with their templates.
const FILES: [(&str, &str); 4] = [
    ("containerd.toml", include_str!("templates/containerd.toml")),
    ("cni/10-k8s.conflist", include_str!("templates/cni.json")),
    ("kubelet.yaml", include_str!("templates/kubelet.yaml")),
    ("kube-proxy.yaml", include_str!("templates/kube-proxy.yaml")),
];

/// Writes all configuration files and kubeconfigs.
pub(super) fn write(layout: &Layout) -> Result<()> {
    fs::create_dir_all(layout.config("cni"))?;
    for (file, template) in FILES {
        files::write_atomic(&layout.config(file), fill(template, layout).as_bytes(), 0o644)?;
    }
    for (user, _, _) in pki::clients() {
        let text = kubeconfig(layout, user);
        files::write_atomic(&layout.kubeconfig_of(user), text.as_bytes(), 0o600)?;
    }
    let admin = kubeconfig(layout, pki::ADMIN);
    Ok(files::write_atomic(&layout.kubeconfig(), admin.as_bytes(), 0o600)?)
}

/// The objects of cluster DNS.
pub(super) fn coredns(layout: &Layout) -> String {
    fill(include_str!("templates/coredns.yaml"), layout)
}

/// Puts the values in. The only places are words between at signs.
fn fill(template: &str, layout: &Layout) -> String {
    template
        .replace("@RUN@", &layout.run().to_string_lossy())
        .replace("@KEPT@", &layout.kept().to_string_lossy())
        .replace("@ADDRESS@", &ADDRESS.to_string())
        .replace("@NODE@", NODE)
        .replace("@PODS@", POD_SUBNET)
        .replace("@DNS@", &DNS.to_string())
        .replace("@BRIDGE@", BRIDGE)
        .replace("@CGROUP@", layout.cgroup())
}

/// JSON is YAML.
fn kubeconfig(layout: &Layout, user: &str) -> String {
    let file = |name: String| layout.pki(&name).to_string_lossy().into_owned();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tulle-e2e", "cluster": {
            "server": format!("https://{ADDRESS}:{API_PORT}"),
            "certificate-authority": file("ca.crt".to_owned()),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": file(format!("{user}.crt")),
            "client-key": file(format!("{user}.key")),
        }}],
        "contexts": [{"name": "tulle-e2e", "context": {"cluster": "tulle-e2e", "user": user}}],
        "current-context": "tulle-e2e",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_place_stays_empty() {
        let layout = Layout::new(Some(Path::new("/somewhere")));
        let templates = FILES.map(|(_, template)| template);
        for template in templates.into_iter().chain([include_str!("templates/coredns.yaml")]) {
            let text = fill(template, &layout);
            assert!(!text.contains('@'), "{text}");
        }
    }
}
