//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration (semantics.md §17.3): who changes pods.

use taut_source::Text;

use crate::message::message;
use crate::read::{At, List};
use crate::selector::LabelSelector;

message! {
    /// Webhooks that the API server calls.
    pub struct WebhookConfiguration open {
        /// The webhooks.
        webhooks: List<Webhook> = "webhooks";
    }
}

message! {
    /// One webhook.
    pub struct Webhook open {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Where it is.
        client_config: Option<WebhookClient> = "clientConfig";
        /// For objects of which namespaces.
        namespace_selector: Option<LabelSelector> = "namespaceSelector";
        /// For which objects.
        object_selector: Option<LabelSelector> = "objectSelector";
    }
}

message! {
    /// Where a webhook is.
    pub struct WebhookClient open {
        /// By URL.
        url: Option<At<Text>> = "url";
        /// By service.
        service: Option<WebhookService> = "service";
    }
}

message! {
    /// The service of a webhook.
    pub struct WebhookService open {
        /// Its namespace.
        namespace: Option<At<Text>> = "namespace";
        /// Its name.
        name: Option<At<Text>> = "name";
    }
}
