//! WasmPlugin and TrafficExtension (semantics.md §14): code that runs in proxies. Both are read in order to be refused.

use taut_source::{Node, Text};

use crate::grammar::{MODULE_URL, SHA256};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::{FreeForm, Port};
use crate::selector::{Selector, TargetRef};

message! {
    /// A module of WebAssembly in the proxies of some workloads.
    pub struct WasmPlugin {
        /// The workloads.
        selector: Option<Selector> = "selector";
        /// A gateway or service instead of workloads.
        target_ref: Option<Box<TargetRef>> = "targetRef";
        /// Gateways or services instead of workloads.
        target_refs: List<TargetRef> = "targetRefs", items(..=16);
        /// Where the module is.
        url: At<Text> = "url", chars(1..), is(MODULE_URL);
        /// Its digest.
        sha256: Option<At<Text>> = "sha256", if_set(SHA256);
        /// When it is fetched.
        image_pull_policy: Option<At<PullPolicy>> = "imagePullPolicy";
        /// With which secret.
        image_pull_secret: Option<At<Text>> = "imagePullSecret", chars(1..=253);
        /// The key that it is signed with.
        verification_key: Option<At<Text>> = "verificationKey";
        /// What it is told.
        plugin_config: Option<FreeForm> = "pluginConfig";
        /// Its name.
        plugin_name: Option<At<Text>> = "pluginName", chars(1..=256);
        /// When it runs.
        phase: Option<At<PluginPhase>> = "phase";
        /// Which comes first in a phase.
        priority: Option<At<i32>> = "priority";
        /// What happens when it fails.
        fail_strategy: Option<At<FailStrategy>> = "failStrategy";
        /// How it runs.
        vm_config: Option<VmConfig> = "vmConfig";
        /// For which traffic.
        matches: List<TrafficSelector> = "match";
        /// What it is told of.
        kind: Option<At<PluginType>> = "type";
    }
    where at_most_one("selector", "targetRef", "targetRefs");
}

message! {
    /// Code in the proxies of some workloads: a module or a script.
    pub struct TrafficExtension {
        /// The workloads.
        selector: Option<Selector> = "selector";
        /// Gateways or services instead of workloads.
        target_refs: List<TargetRef> = "targetRefs", items(..=16);
        /// When it runs.
        phase: Option<At<ExtensionPhase>> = "phase";
        /// Which comes first in a phase.
        priority: Option<At<i32>> = "priority";
        /// For which traffic.
        matches: List<TrafficSelector> = "match";
        /// A module.
        wasm: Option<WasmModule> = "wasm";
        /// A script.
        lua: Option<LuaScript> = "lua";
    }
    where at_most_one("selector", "targetRefs"), exactly_one("wasm", "lua");
}

keyword! {
    /// When a module is fetched.
    pub enum PullPolicy {
        /// As its tag has it.
        Unspecified = "UNSPECIFIED_POLICY";
        /// Once.
        IfNotPresent = "IfNotPresent";
        /// Each time.
        Always = "Always";
    }
}

keyword! {
    /// When a module runs.
    pub enum PluginPhase {
        /// At the end.
        Unspecified = "UNSPECIFIED_PHASE";
        /// Before authentication.
        Authn = "AUTHN";
        /// Before authorization.
        Authz = "AUTHZ";
        /// Before statistics.
        Stats = "STATS";
    }
}

keyword! {
    /// When an extension runs.
    pub enum ExtensionPhase {
        /// At the end.
        Unspecified = "UNSPECIFIED";
        /// Before authentication.
        Authn = "AUTHN";
        /// Before authorization.
        Authz = "AUTHZ";
        /// Before statistics.
        Stats = "STATS";
    }
}

keyword! {
    /// What happens when a module fails.
    pub enum FailStrategy {
        /// Requests fail.
        Close = "FAIL_CLOSE";
        /// Requests pass.
        Open = "FAIL_OPEN";
        /// It is loaded again.
        Reload = "FAIL_RELOAD";
    }
}

keyword! {
    /// What a module is told of.
    pub enum PluginType {
        /// HTTP.
        Unspecified = "UNSPECIFIED_PLUGIN_TYPE";
        /// Requests.
        Http = "HTTP";
        /// Connections.
        Network = "NETWORK";
    }
}

keyword! {
    /// On which side of a connection.
    pub enum ExtensionMode {
        /// Both.
        Undefined = "UNDEFINED";
        /// The client's.
        Client = "CLIENT";
        /// The server's.
        Server = "SERVER";
        /// Both.
        ClientAndServer = "CLIENT_AND_SERVER";
    }
}

message! {
    /// Some traffic.
    pub struct TrafficSelector {
        /// On which side.
        mode: Option<At<ExtensionMode>> = "mode";
        /// On which ports; all if empty.
        ports: List<PortSelector> = "ports", unique("number");
    }
}

message! {
    /// A port.
    pub struct PortSelector {
        /// Its number.
        number: At<Port> = "number";
    }
}

message! {
    /// A module of WebAssembly.
    pub struct WasmModule {
        /// Where it is.
        url: At<Text> = "url", chars(1..), is(MODULE_URL);
        /// Its digest.
        sha256: Option<At<Text>> = "sha256", if_set(SHA256);
        /// When it is fetched.
        image_pull_policy: Option<At<PullPolicy>> = "imagePullPolicy";
        /// With which secret.
        image_pull_secret: Option<At<Text>> = "imagePullSecret", chars(1..=253);
        /// The key that it is signed with.
        verification_key: Option<At<Text>> = "verificationKey";
        /// What it is told.
        plugin_config: Option<FreeForm> = "pluginConfig";
        /// Its name.
        plugin_name: Option<At<Text>> = "pluginName", chars(1..=256);
        /// What happens when it fails.
        fail_strategy: Option<At<FailStrategy>> = "failStrategy";
        /// How it runs.
        vm_config: Option<VmConfig> = "vmConfig";
        /// What it is told of.
        kind: Option<At<PluginType>> = "type";
    }
}

message! {
    /// A script in Lua.
    pub struct LuaScript {
        /// The script.
        inline_code: At<Text> = "inlineCode", chars(1..=65536);
    }
}

message! {
    /// How a module runs.
    pub struct VmConfig {
        /// Its environment.
        env: List<VmVariable> = "env", items(..=256), unique("name");
    }
}

keyword! {
    /// Where the value of a variable comes from.
    pub enum VariableSource {
        /// From here.
        Inline = "INLINE";
        /// From the proxy's environment.
        Host = "HOST";
    }
}

message! {
    /// A variable of a module's environment.
    pub struct VmVariable {
        /// Its name.
        name: At<Text> = "name", chars(1..=256);
        /// Where its value comes from.
        value_from: Option<At<VariableSource>> = "valueFrom";
        /// Its value.
        value: Option<At<Text>> = "value", chars(..=2048);
    }
    where check(VmVariable::check);
}

impl VmVariable {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let from_host = self.value_from.is_some_and(|from| from.value == VariableSource::Host);
        if let Some(value) = self.value.as_ref().filter(|_| from_host) {
            let message = "a variable from the proxy's environment has no value here";
            cx.say(&rules::EXCLUSIVE, value.span, message, "take `value` away, or write `valueFrom: INLINE`");
        }
    }
}
