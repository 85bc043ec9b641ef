//! A request and its parts.

use crate::request::customization::Customization;
use crate::request::machine::Machine;
use crate::request::output::Output;
use crate::request::sbom;
use crate::request::selection::Selection;
use crate::request::sources::Sources;
use crate::request::target::Target;

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to install.
    pub selection: Selection,
    /// Where packages come from and whom to trust.
    pub sources: Sources,
    /// What to change on top of the packages.
    pub customization: Customization,
    /// The form of the result, and where it goes.
    pub output: Output,
    /// On which machine the run takes place, and how.
    pub machine: Machine,
}

impl Request {
    /// Returns a request with the defaults of the command line.
    #[must_use]
    pub fn new(selection: Selection, sources: Sources, target: Target, machine: Machine) -> Self {
        let (customization, output) = (Customization::default(), Output::new(target));
        Self { selection, sources, customization, output, machine }
    }

    /// Returns whether package scripts run in this run.
    pub(crate) fn runs_scripts(&self) -> bool {
        self.selection.variant.runs_scripts() && !self.output.is_first_stage()
    }

    /// Returns this request once for each architecture that a root is made for, each with the names of its own documents.
    pub(crate) fn platforms(&self) -> Vec<Self> {
        let mut all = vec![self.selection.architecture.clone()];
        for name in &self.output.further_platforms {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        let several = all.len() > 1;
        let of = |architecture: String| {
            let mut request = self.clone();
            if several {
                for path in &mut request.output.sboms {
                    *path = sbom::of_platform(path, &architecture);
                }
            }
            request.output.further_platforms.clear();
            request.selection.architecture = architecture;
            request
        };
        all.into_iter().map(of).collect()
    }
}
