"""Control: the module ``ctl`` of the shared library, bound by gopy (``parkit_go/ctl_*.go``).

There is no file ``_ctl.py``: at runtime the module is had as ``_native.ctl``, and this stub says what is in it.
``tests/test_stub.py`` holds the two together. Names that gopy adds for itself (``Slice_...``, ``IncRef``) are left out.

Call a function as ``_native.call(_native.ctl.Name, ...)``: its errors are RuntimeErrors, whose text ``call`` makes the
right exception of. A *request* is JSON, and so is an answer that is a str, but for :func:`Version` and
:func:`TaskUUID`: users' text crosses so, because gopy ends a str at the first NUL.
Functions that read or write objects take part in the scope that the thread has open on the namespace.
"""

# ---- The library ----

def Version() -> str:
    """The version of this library."""

def ErrorCodes() -> str:
    """Every code of the core's errors, with its name: an object."""

def Panic(kind: str) -> str:
    """For parkit's tests: a panic of that kind, where PARKIT_TEST_HOOKS is 1."""

# ---- Sites ----

def SiteOpen(request: str) -> str:
    """Open a site, or make it.

    ``{path, create, memory, uuid, environment}`` to ``{uuid, path, created, memory, warnings}``. ``environment`` is the
    settings as Python sees them: Go copied its own when the library was loaded.
    """

def SiteAround(path: str) -> str:
    """The site whose directory a path lies in; empty where it lies in none."""

def SiteClose(uuid: str) -> bool:
    """Close a site with all its namespaces; False where it was not open. What was bound through it is stale."""

def SitesSettle(patience: int) -> bool:
    """Write down what is in memory only, before the process ends; wait for others no longer than so many ms."""

def SiteNamespaces(uuid: str) -> str:
    """The namespaces of a site that is open, sorted: a list."""

def SiteProfile(request: str) -> str:
    """How durable or memory namespaces are opened: ``{memory, environment}`` to the settings and their warnings."""

# ---- Namespaces ----

def PathParse(request: str) -> str:
    """The namespace and the name that the path of an object means: a str to a pair; no name is an anonymous object."""

def SpaceOpen(request: str) -> str:
    """Open a namespace: ``{site, namespace, create}`` to ``{space, namespace}``, its number and its one spelling."""

def SpaceStats(space: int) -> str:
    """How large a namespace is, and who reads it: the members of :class:`parkit.report.Statistics`."""

def SpaceSetMaxSize(space: int, bytes: int) -> bool:  # noqa: A002 (Go's name)
    """Set the size of a namespace's map, a multiple of its page size."""

def SpaceLetGo(request: str) -> str:
    """Close a namespace, ``{site, namespace}``, if nothing of this process is under way in it; whether it was."""

def SpaceNames(request: str) -> str:
    """The names of objects behind one, sorted: ``{space, after, limit}`` to a list."""

def SpaceObjects(request: str) -> str:
    """As :func:`SpaceNames`, with what the objects are."""

# ---- What the original parkit wrote ----

def OriginalOpen(directory: str) -> int:
    """Open a namespace of the original parkit for reading only; its number."""

def OriginalClose(number: int) -> bool:
    """Close it; whether somebody has written to it since it was opened."""

def OriginalScan(request: str) -> str:
    """Entries of a database behind a key: ``{file, database, after, prefix, entries, bytes, value}``.

    The last three are limits. The answer is ``{entries, done, damaged}``: an entry is its key, its value (null if
    it is longer than the limit), the value's size and whether it is a database. Bytes are base64.
    """

def OriginalRead(request: str) -> str:
    """A part of one value: ``{file, database, key, offset, length}`` to bytes, base64."""

# ---- Keeping: {site} is the uuid of a site that is open, {path} that of any ----

def KeptNamespaces(request: str) -> str:
    """The namespaces of a site: ``{site}`` or ``{path}`` to a list."""

def SiteIsMemory(request: str) -> str:
    """Whether all namespaces of a site are memory ones: ``{site}`` or ``{path}`` to a bool."""

def NamespaceCheck(request: str) -> str:
    """Check a namespace, and repair it: ``{site or path, namespace, repair}`` to the report."""

def Quarantined(request: str) -> str:
    """What repairs took out of a namespace: ``{site or path, namespace}`` to a list; bytes are in base64."""

def SiteBackup(request: str) -> str:
    """Write a checked copy: ``{site or path, namespaces, target, fresh}`` to the report on it."""

def SiteRestore(request: str) -> str:
    """Make a site of a backup: ``{path, target, fresh}`` to the report on it."""

def SpaceDropHidden(request: str) -> str:
    """Drop hidden objects among the next ones: ``{space, after, limit}`` to ``{dropped, last}``."""

def SpaceCompact(space: int) -> int:
    """Give unused pages back to the file system; how many bytes that was."""

def SpaceSizes(request: str) -> str:
    """How many bytes objects take: ``{space, name}`` to a dictionary by name; no name is all objects."""

def ObjectRename(request: str) -> str:
    """Give an object another name: ``{space, name, other, overwrite}``."""

def ObjectCopy(request: str) -> str:
    """Copy an object: ``{space, name, target, other, overwrite, moving}``."""

# ---- Objects ----

def ObjectOpen(request: str) -> str:
    """Bind an object or create it: ``{space, name, create, bind, ...}`` to ``{handle, created, ...}``.

    Where it may create, call it in a transaction of the thread, since waiting in here cannot be interrupted.
    """

def ObjectDescribe(handle: int) -> str:
    """What an object is: uuid, name, kind, class, bases, created, versioned, metadata, extra."""

def ObjectSetMetadata(request: str) -> str:
    """Replace an object's metadata: ``{handle, metadata}``. To be called in a transaction, as :func:`ObjectOpen`."""

def ObjectSetVersion(request: str) -> str:
    """Have an object's version be a given one after the transaction that this is called in: ``{handle, version}``."""

def ObjectDrop(handle: int) -> bool:
    """Remove an object with all it holds. To be called in a transaction, as :func:`ObjectOpen`."""

# ---- Tasks and the pool ----

def TasksOpen(request: str) -> str:
    """Open the tasks of a site: ``{site, create}`` to the number that the lane's functions on tasks take."""

def TaskUUID(number: int, id: int) -> str:  # noqa: A002 (Go's name)
    """The identity of a task beyond its site."""

def TaskList(request: str) -> str:
    """The ids of tasks behind one: ``{tasks, state, asyncable, after, limit}`` to a list."""

def TaskVersions(request: str) -> str:
    """Which versions of its code the unended tasks of an asyncable need, and how many of them: an object."""

def TaskPurge(number: int) -> int:
    """Drop all tasks that have ended, and return how many."""

def PoolMain(request: str) -> str:
    """Be the site's monitor until the pool is stopped; false where there is one already."""

def PoolStatus(request: str) -> str:
    """What can be seen of the pool: its monitor, its concurrency, its workers."""

def PoolConcurrency(request: str) -> str:
    """How many workers the pool has, or will have."""

def PoolSetConcurrency(request: str) -> str:
    """Say how many workers the pool is to have: ``{tasks, workers}``."""

def PoolCancel(number: int, id: int) -> bool:  # noqa: A002 (Go's name)
    """Cancel a task, and end its worker where no monitor lives to do so; whether it had not ended."""
