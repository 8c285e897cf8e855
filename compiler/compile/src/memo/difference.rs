//! An edit: what it changes, found by compiling the part around it before and after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use taut_model::{Mesh, MeshWide, convert_among, resolve_part};
use taut_resources::Resource;
use taut_snapshot::object::{Layer, Root};
use taut_snapshot::{Digest, EndpointSet, Snapshot, SourceMap};
use taut_source::{FileId, LineIndex, Problem, Problems, Severity, SourceSet, Text, threads};

use super::around::{Around, Index};
use super::{Before, FileBefore, layers, meeting};
use crate::compile::{FileRead, Known, Options, read_files};
use crate::lower::{LayerName, Part, Unit, UnitName};
use crate::origins::Origins;
use crate::{endpoints, exceptions, lower};

/// The most files of an edit that is looked at by itself.
const FILES_MAX: usize = 64;

impl Before {
    /// Brings everything up to date with a tree that differs in a few files. None if it takes more than that: then
    /// everything is to be compiled.
    pub(super) fn edit(&mut self, sources: &SourceSet, options: &Options) -> Option<()> {
        let Before { sources: before, files, read, compiled, parts, with_exceptions } = self;
        let changed = changed(before, sources)?;
        if changed.is_empty() {
            return Some(());
        }
        let parts = parts.as_mut()?;
        let snapshot = compiled.snapshot.as_mut()?;
        let fresh = read_again(&changed, sources, files, options)?;
        let is_changed = |file: FileId| changed.binary_search(&(file.0 as usize)).is_ok();
        let mentions = |problem: &Problem| {
            is_changed(problem.at.file) || problem.related.iter().any(|related| is_changed(related.at.file))
        };
        let replaced = replaced(&changed, &fresh, files, &read.resources, parts)?;
        let with_exceptions = *with_exceptions;
        let attempt = |meeting: bool| {
            let around = around(&changed, files, &read.resources, &replaced, parts, meeting)?;
            let (resources, wide) = (&read.resources, read.wide(options));
            let looks = |new: bool| look(&around, &replaced, resources, parts, wide, new);
            let (mut before, mut after) = (None, None);
            threads::all(true, vec![Box::new(|| before = looks(false)), Box::new(|| after = looks(true))]);
            let (before, after) = (before?, after?);
            let alike = before.endpoints == after.endpoints
                && before.part.beside == after.part.beside
                && before.part.has == after.part.has
                && before.part.workloads == after.part.workloads
                && before.says_injection == after.says_injection;
            if !alike {
                return None;
            }
            let known: Vec<&Problem> = compiled.problems.iter().filter(|problem| mentions(problem)).collect();
            let found = newly_found(&known, before.problems, after.problems, mentions)?;
            if !found.is_empty() && with_exceptions {
                return None; // somebody may live with them
            }
            if !meeting {
                let differing = before.part.differing(&after.part);
                let replaced = replaced.values().map(|resource| resource.as_ref());
                if !meeting::stays_apart(differing.into_iter(), [&before.part, &after.part], replaced) {
                    return None;
                }
            }
            Some((Difference::of(before.part, after.part, &around, &parts.index)?, found))
        };
        let apart = meeting::is_apart(&changed, [before, sources], files, &read.resources, &replaced);
        let alone = apart.then(|| attempt(false)).flatten();
        let (difference, found) = alone.or_else(|| attempt(true))?;
        let views = difference.enter(snapshot, &mut parts.known)?;
        for (number, resource) in replaced {
            let old = std::mem::replace(&mut read.resources[number as usize], resource.clone());
            parts.index.replace(number, &old, resource, &parts.known.settings);
        }
        let of_file = |file: FileId| &read.resources[files[file.0 as usize].resources()];
        let origins = &parts.known.origins;
        difference.enter_places(&mut compiled.source_map, (origins, of_file), views, [before, sources], is_changed);
        enter_problems(&mut compiled.problems, found, mentions);
        for (file, read) in changed.iter().zip(&fresh) {
            let known = &mut files[*file];
            compiled.counts.documents = compiled.counts.documents - known.documents + read.documents;
            compiled.counts.foreign = compiled.counts.foreign - known.foreign + read.foreign;
            (known.documents, known.foreign) = (read.documents, read.foreign);
        }
        *before = sources.clone();
        Some(())
    }
}

/// The numbers of the files that have another content, if all have the names that they had, and they are few.
fn changed(before: &SourceSet, now: &SourceSet) -> Option<Vec<usize>> {
    let (before, now) = (before.files(), now.files());
    if before.len() != now.len() {
        return None;
    }
    let mut changed = Vec::new();
    for (at, (before, now)) in before.iter().zip(now).enumerate() {
        let same_name = std::sync::Arc::ptr_eq(&before.name, &now.name) || before.name == now.name;
        if !same_name {
            return None;
        }
        if before.id != now.id {
            changed.push(at);
        }
    }
    (changed.len() <= FILES_MAX).then_some(changed)
}

/// Reads the changed files, if they hold as many resources as they did, and nothing is wrong with them.
fn read_again(
    changed: &[usize],
    sources: &SourceSet,
    files: &[FileBefore],
    options: &Options,
) -> Option<Vec<FileRead>> {
    let of_number = |at: &usize| {
        let id = FileId(u32::try_from(*at).ok()?);
        Some((id, sources.file(id)))
    };
    let of: Vec<_> = changed.iter().map(of_number).collect::<Option<_>>()?;
    let fresh = read_files(&of, options);
    let same =
        |(at, read): (&usize, &FileRead)| files[*at].plain && read.is_plain() && files[*at].len == read.resources.len();
    changed.iter().zip(&fresh).all(same).then_some(fresh)
}

/// The resources that take the place of others, by number. None if one of them has another name, or is tied to the rest
/// of the mesh by more than names.
fn replaced<'f>(
    changed: &[usize],
    fresh: &'f [FileRead],
    files: &[FileBefore],
    resources: &[Arc<Resource>],
    parts: &super::Parts,
) -> Option<BTreeMap<u32, &'f Arc<Resource>>> {
    let mut replaced = BTreeMap::new();
    for (file, read) in changed.iter().zip(fresh) {
        for (number, new) in (files[*file].from..).zip(&read.resources) {
            let old = &resources[number];
            if old == new {
                continue;
            }
            // What everybody sends to may be a part of any view.
            let tied = |resource| {
                let ties = parts.index.named(resource, &parts.known.settings);
                ties.is_some_and(|ties| !parts.index.leads_to_any(&ties))
            };
            if old.subject != new.subject || !tied(old) || !tied(new) {
                return None;
            }
            replaced.insert(u32::try_from(number).ok()?, new);
        }
    }
    Some(replaced)
}

fn around(
    changed: &[usize],
    files: &[FileBefore],
    resources: &[Arc<Resource>],
    replaced: &BTreeMap<u32, &Arc<Resource>>,
    parts: &super::Parts,
    meeting: bool,
) -> Option<Around> {
    let edited = changed.iter().flat_map(|file| files[*file].resources());
    let edited = edited.filter_map(|number| u32::try_from(number).ok());
    let both = |number: u32| {
        [Some(resources[number as usize].as_ref()), replaced.get(&number).map(|resource| resource.as_ref())]
    };
    parts.index.around(edited, both, &parts.known.settings, meeting)
}

/// What is found in the changed files after an edit. None if the part does not show what all of the mesh shows there, if
/// something else in it is found or not any more, or if what is found is new or keeps the mesh from being run.
fn newly_found(
    known: &[&Problem],
    before: Vec<Problem>,
    after: Vec<Problem>,
    mentions: impl Fn(&Problem) -> bool,
) -> Option<Vec<Problem>> {
    let (before_here, before_elsewhere): (Vec<Problem>, Vec<Problem>) = before.into_iter().partition(&mentions);
    let (after_here, after_elsewhere): (Vec<Problem>, Vec<Problem>) = after.into_iter().partition(&mentions);
    let sorted = |problems: Vec<Problem>| problems.into_iter().collect::<Problems>().into_sorted();
    let (before_here, after_here) = (sorted(before_here), sorted(after_here));
    let shown = before_here.iter().eq(known.iter().copied()) && before_elsewhere == after_elsewhere;
    let fatal = after_here.iter().any(|problem| problem.severity == Severity::Error);
    // What nobody has said before may go on about more of the mesh than the part.
    let is_known = |problem: &Problem| before_here.iter().any(|before| says_the_same(before, problem));
    (shown && !fatal && after_here.iter().all(is_known)).then_some(after_here)
}

/// Whether two problems are one, wherever they are.
fn says_the_same(one: &Problem, other: &Problem) -> bool {
    let related = |problem: &Problem| problem.related.iter().map(|it| it.message.clone()).collect::<Vec<_>>();
    (&one.code, &one.message, &one.help, &one.label) == (&other.code, &other.message, &other.help, &other.label)
        && one.severity == other.severity
        && one.subject == other.subject
        && related(one) == related(other)
}

/// Puts what is found now in the place of what was found in the changed files.
fn enter_problems(problems: &mut Vec<Problem>, found: Vec<Problem>, mentions: impl Fn(&Problem) -> bool) {
    if problems.iter().filter(|problem| mentions(problem)).eq(&found) {
        return;
    }
    problems.retain(|problem| !mentions(problem));
    for problem in found {
        let at = problems.partition_point(|other| other.by_place(&problem).is_lt());
        problems.insert(at, problem);
    }
}

/// What a part of the mesh comes to.
struct Looked {
    problems: Vec<Problem>,
    endpoints: EndpointSet,
    part: Part,
    says_injection: bool,
}

/// Checks and lowers the part around an edit, as it was or as it is.
fn look(
    around: &Around,
    replaced: &BTreeMap<u32, &Arc<Resource>>,
    resources: &[Arc<Resource>],
    parts: &super::Parts,
    wide: MeshWide<'_>,
    new: bool,
) -> Option<Looked> {
    let Known { settings, whole, plain_http, layers, .. } = &parts.known;
    let of_number = |number: &u32| {
        let replaced = replaced.get(number).copied().filter(|_| new);
        replaced.unwrap_or(&resources[*number as usize]).as_ref()
    };
    let resources: Vec<&Resource> = around.resources.iter().map(of_number).collect();
    if resources.iter().any(|resource| exceptions::is_annotated(resource)) {
        return None; // what is found of it is not always reported
    }
    let converted = convert_among(&resources, &whole.namespaces, settings);
    let mesh: Mesh<'_> = resolve_part(&resources, &converted, whole, settings.clone(), wide);
    let problems = taut_model::check::checks().flat_map(|check| check.found(&mesh)).collect();
    let part = lower::units(&mesh, *plain_http, layers, |unit| around.has(unit, &parts.index))?;
    let says_injection = mesh.part_says_injection();
    Some(Looked { problems, endpoints: endpoints::declared(&mesh), part, says_injection })
}

/// What an edit does to a snapshot: the units that come to something else.
struct Difference {
    units: Vec<(UnitName, Unit, Unit)>,
    /// All other units of the part.
    others: BTreeMap<UnitName, Unit>,
}

impl Difference {
    /// None if a unit comes or goes, or one changes that looks at more than the part.
    fn of(mut before: Part, mut after: Part, around: &Around, index: &Index) -> Option<Difference> {
        let names: Vec<UnitName> = before.differing(&after).into_iter().cloned().collect();
        let mut units = Vec::new();
        for name in names {
            if !around.is_near(&name, index) || index.leads_to(&name) {
                return None;
            }
            let (old, new) = (before.units.remove(&name)?, after.units.remove(&name)?);
            units.push((name, old, new));
        }
        Some(Difference { units, others: after.units })
    }

    /// Brings the objects up to date. The views that changed because of layers of Sidecars are returned, as they were and
    /// as they are.
    fn enter(&self, snapshot: &mut Snapshot, known: &mut Known) -> Option<Vec<Digest>> {
        let mut root: Root = snapshot.root().ok()?;
        let base = root.base;
        let objects = &mut snapshot.objects;
        let Known { shares, origins, layers, .. } = known;
        // What everybody would know is nobody's where all have Sidecars: then it has places, and no objects.
        let is_kept = |name: &UnitName| base.is_some() || !matches!(name, UnitName::Host(_));
        for (name, old, new) in &self.units {
            for (digest, bytes) in
                new.objects.iter().filter(|(digest, _)| is_kept(name) && !old.objects.contains(*digest))
            {
                shares.add_object(digest, objects.contains(digest));
                objects.insert_bytes(bytes.clone());
            }
            for (digest, source) in new.origins.iter().filter(|(digest, it)| !old.origins.contains(*digest, *it)) {
                shares.add_origin((digest, source), origins.contains(digest, source));
                origins.add(digest, source);
            }
        }
        for (name, old, new) in &self.units {
            for (digest, _) in old.objects.iter().filter(|(digest, _)| is_kept(name) && !new.objects.contains(*digest))
            {
                if shares.drop_object(digest) {
                    objects.remove(digest);
                }
            }
            for (digest, source) in old.origins.iter().filter(|(digest, it)| !new.origins.contains(*digest, *it)) {
                if shares.drop_origin(&(digest, source)) {
                    origins.remove(digest, source);
                }
            }
        }
        let changed = || self.units.iter().filter(|(_, old, new)| old.digest != new.digest);
        let hosts = changed().filter_map(|(name, _, new)| match name {
            UnitName::Host(host) => Some((host.clone(), new.digest)),
            _ => None,
        });
        let views = changed().filter_map(|(name, _, new)| match name {
            UnitName::View(name) => Some((name.clone(), new.digest)),
            _ => None,
        });
        let mut outdated = objects.update_map(&mut root.views, views).ok()?;
        if let Some(base) = base {
            let mut layer: Layer = objects.read(base).ok()?;
            outdated.extend(objects.update_map(&mut layer.services, hosts).ok()?);
            let new_base = objects.insert(&layer);
            root.base = Some(new_base);
            outdated.extend(Some(base.digest).filter(|base| *base != new_base.digest));
        }
        let mut imported: BTreeMap<&LayerName, Vec<(Text, Digest)>> = BTreeMap::new();
        for (name, _, new) in changed() {
            if let UnitName::Imported(layer, host) = name {
                imported.entry(layer).or_default().push((host.clone(), new.digest));
            }
        }
        let moved = layers::enter(imported, objects, &mut root, layers, &mut outdated)?;
        let mut of_views = Vec::with_capacity(2 * moved.len());
        for (old, new, is_new) in moved {
            shares.add_object(new, !is_new);
            if shares.drop_object(old) {
                objects.remove(old);
            }
            origins.hand_on(old, new);
            of_views.extend([old, new]);
        }
        let id = objects.insert(&root).digest;
        outdated.extend(Some(snapshot.id).filter(|before| *before != id));
        let in_use = layers::in_use(objects, &root, layers)?;
        outdated.into_iter().filter(|digest| !in_use.contains(digest)).for_each(|digest| objects.remove(digest));
        snapshot.id = id;
        Some(of_views)
    }

    /// Brings the source map up to date: the objects of these units, and whatever has an origin in a changed file, where
    /// lines may be others though nothing else is.
    fn enter_places<'r>(
        &self,
        map: &mut SourceMap,
        (origins, of_file): (&Origins, impl Fn(FileId) -> &'r [Arc<Resource>]),
        views: Vec<Digest>,
        [before, sources]: [&SourceSet; 2],
        is_changed: impl Fn(FileId) -> bool,
    ) {
        let (mut lines_before, mut lines) = (Lines::of(before), Lines::of(sources));
        let differing = self.units.iter().flat_map(|(_, old, new)| old.origins.iter().chain(new.origins.iter()));
        let moved = self.others.values().flat_map(|unit| unit.origins.iter());
        let mut is_moved = |file, offset| lines_before.line(file, offset) != lines.line(file, offset);
        let moved = moved.filter(|(_, source)| is_changed(source.file()) && is_moved(source.file(), source.offset()));
        let touched: BTreeSet<Digest> = differing.chain(moved).map(|(digest, _)| digest).chain(views).collect();
        let mut line = |file: FileId, offset: u32| lines.line(file, offset);
        for digest in touched {
            let at = map.objects.binary_search_by(|(known, _)| known.cmp(&digest));
            match (origins.entry(digest, &of_file, &mut line), at) {
                (Some(entry), Ok(at)) => map.objects[at].1 = entry,
                (Some(entry), Err(at)) => map.objects.insert(at, (digest, entry)),
                (None, Ok(at)) => {
                    map.objects.remove(at);
                }
                (None, Err(_)) => {}
            }
        }
    }
}

/// The lines of a few files.
struct Lines<'s> {
    sources: &'s SourceSet,
    files: HashMap<FileId, LineIndex<'s>>,
}

impl<'s> Lines<'s> {
    fn of(sources: &'s SourceSet) -> Lines<'s> {
        Lines { sources, files: HashMap::new() }
    }

    fn line(&mut self, file: FileId, offset: u32) -> u32 {
        let sources = self.sources;
        self.files.entry(file).or_insert_with(|| LineIndex::new(&sources.file(file).bytes)).line(offset)
    }
}
