//! Clients and servers of every service, made from `proto/` by `build.rs`. There is no logic here:
//! read `proto/`, where every method is documented.

#![expect(
    clippy::allow_attributes,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated from proto/, whose comments are not rustdoc"
)]

/// Every file of `proto/` and what it imports, encoded; for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod cursus {
    //! The tree of proto packages.
    pub mod segmentation {
        //! Contacts, events, segments.
        pub mod v1 {
            //! `cursus.segmentation.v1`
            tonic::include_proto!("cursus.segmentation.v1");
        }
    }
    pub mod content {
        //! Templates.
        pub mod v1 {
            //! `cursus.content.v1`
            tonic::include_proto!("cursus.content.v1");
        }
    }
    pub mod delivery {
        //! Messages.
        pub mod v1 {
            //! `cursus.delivery.v1`
            tonic::include_proto!("cursus.delivery.v1");
        }
    }
    pub mod experiment {
        //! Experiments.
        pub mod v1 {
            //! `cursus.experiment.v1`
            tonic::include_proto!("cursus.experiment.v1");
        }
    }
    pub mod orchestrator {
        //! Campaigns.
        pub mod v1 {
            //! `cursus.orchestrator.v1`
            tonic::include_proto!("cursus.orchestrator.v1");
        }
    }
}

pub use cursus::{
    content::v1 as content, delivery::v1 as delivery, experiment::v1 as experiment,
    orchestrator::v1 as orchestrator, segmentation::v1 as segmentation,
};
