//! Pod, Deployment and the other kinds with a pod template (semantics.md §19): labels, identity and container ports.
//!
//! A Deployment is read through its pod template: every pod it makes is one workload class.

use taut_source::Text;

use crate::message::message;
use crate::meta::Meta;
use crate::read::{At, List};
use crate::scalar::Port;

message! {
    /// A Pod, or an object with a pod template.
    pub struct Workload open {
        /// The spec of the pod, or of the object with the template.
        spec: Option<WorkloadSpec> = "spec";
        /// What a cluster reported of a pod.
        status: Option<Box<WorkloadStatus>> = "status";
    }
}

message! {
    /// The spec of a pod, or of an object with a pod template.
    pub struct WorkloadSpec open {
        /// The template of a Deployment.
        template: Option<Box<PodTemplate>> = "template";
        /// The template of a CronJob's jobs.
        job_template: Option<Box<JobTemplate>> = "jobTemplate";
        /// The service account of a pod; `default` if missing.
        service_account_name: Option<At<Text>> = "serviceAccountName";
        /// The containers of a pod.
        containers: List<Container> = "containers";
        /// The containers that run before them.
        init_containers: List<Container> = "initContainers";
        /// Whether the pod has the node's network, which keeps it out of the mesh.
        host_network: Option<At<bool>> = "hostNetwork";
        /// The node that it runs on.
        node_name: Option<Box<At<Text>>> = "nodeName";
        /// As whom its containers run.
        security_context: Option<Box<SecurityContext>> = "securityContext";
    }
}

message! {
    /// What the jobs of a CronJob look like.
    pub struct JobTemplate open {
        /// Their spec.
        spec: Option<JobSpec> = "spec";
    }
}

message! {
    /// The spec of a job in a template.
    pub struct JobSpec open {
        /// What its pods look like.
        template: Option<Box<PodTemplate>> = "template";
    }
}

message! {
    /// What the pods of a Deployment look like.
    pub struct PodTemplate open {
        /// Their labels and annotations.
        metadata: Option<Meta> = "metadata";
        /// Their spec.
        spec: Option<PodSpec> = "spec";
    }
}

message! {
    /// The spec of a pod in a template.
    pub struct PodSpec open {
        /// The service account; `default` if missing.
        service_account_name: Option<At<Text>> = "serviceAccountName";
        /// The containers.
        containers: List<Container> = "containers";
        /// The containers that run before them.
        init_containers: List<Container> = "initContainers";
        /// Whether the pods have the node's network.
        host_network: Option<At<bool>> = "hostNetwork";
        /// As whom the containers run.
        security_context: Option<Box<SecurityContext>> = "securityContext";
    }
}

message! {
    /// As whom something runs.
    pub struct SecurityContext open {
        /// The user.
        run_as_user: Option<At<u64>> = "runAsUser";
    }
}

message! {
    /// A container.
    pub struct Container open {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Its image.
        image: Option<At<Text>> = "image";
        /// Its ports, which a `targetPort` may name.
        ports: List<ContainerPort> = "ports";
        /// Its environment.
        env: List<ContainerVariable> = "env";
        /// As whom it runs.
        security_context: Option<Box<SecurityContext>> = "securityContext";
    }
}

message! {
    /// A variable of a container's environment.
    pub struct ContainerVariable open {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Its value, if it stands here.
        value: Option<At<Text>> = "value";
    }
}

message! {
    /// A port of a container.
    pub struct ContainerPort open {
        /// The name that `targetPort` refers to.
        name: Option<At<Text>> = "name";
        /// The number.
        container_port: At<Port> = "containerPort";
    }
}

message! {
    /// What a cluster reported of a pod.
    pub struct WorkloadStatus open {
        /// The pod's address.
        pod_ip: Option<At<Text>> = "podIP";
        /// Running, Succeeded, Failed and so on.
        phase: Option<At<Text>> = "phase";
    }
}
