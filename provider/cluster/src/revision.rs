//! Which control plane the settings mean: its revision, or a tag that stands for one.

use crate::call::{CONFIG_MAP, Call, Verb, WEBHOOK};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::facts::{suffixed, text};
use crate::settings::IstioSettings;

impl Cluster {
    /// Returns the settings with the revision that a tag stands for.
    ///
    /// Istio's charts write a tag as the label `istio.io/tag` of a webhook that leads to the revision. It is
    /// looked for only where no control plane has the configured name itself.
    pub(crate) async fn resolved(&self) -> Result<&IstioSettings, ClusterError> {
        let istio = self.istio();
        let resolve = async || {
            let call = Call::new(
                Verb::Get,
                CONFIG_MAP,
                &istio.namespace,
                &suffixed("istio", istio),
            );
            // A role that names its ConfigMaps forbids all others, whether they exist or not.
            let forbidden = match self.shared_get(&call).await {
                Ok(found) if found.is_some() => return Ok(istio.clone()),
                Ok(_) => None,
                Err(error) if error.is_forbidden() => Some(error),
                Err(error) => return Err(error),
            };
            match (self.revision_of_tag(istio).await?, forbidden) {
                (None, Some(error)) => Err(error),
                (None, None) => Ok(istio.clone()),
                (revision, _) => Ok(IstioSettings {
                    revision,
                    ..istio.clone()
                }),
            }
        };
        self.tag().get_or_try_init(resolve).await
    }

    /// Returns the revision of the tag that the settings name, if it is one. Without the right to list webhooks, no tag
    /// is known: a revision that does not exist is no missing permission.
    async fn revision_of_tag(&self, istio: &IstioSettings) -> Result<Option<String>, ClusterError> {
        let tag = istio.revision().unwrap_or("default");
        let tagged = format!("labelSelector=istio.io%2Ftag%3D{tag}");
        let webhooks = match self.all(WEBHOOK, &tagged).await {
            Err(error) if error.is_forbidden() => return Ok(None),
            webhooks => webhooks?,
        };
        let mut revisions = webhooks
            .iter()
            .map(|of| text(&of["metadata"]["labels"]["istio.io/rev"]));
        Ok(revisions.find_map(|found| found))
    }
}
