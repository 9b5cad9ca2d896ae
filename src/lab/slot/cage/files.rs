//! Which files it reads: landlock.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

/// The newest rights that are asked for; what an older kernel does not know is left out.
const NEWEST: ABI = ABI::V6;

/// Leaves reading below `folder`, and no other right over files, networks and processes that the kernel can take.
pub(super) fn put_up(folder: &Path) -> Result<(), String> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let shut = || -> Result<RulesetStatus, Box<dyn std::error::Error>> {
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rule(PathBeneath::new(PathFd::new(folder)?, read))?;
        Ok(rules.restrict_self()?.ruleset)
    };
    match shut() {
        Ok(RulesetStatus::NotEnforced) => Err("the kernel lacks it or has it switched off".to_owned()),
        Ok(_) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}
