// Who may import whom: docs/ARCHITECTURE.md, "What runs where". test/unit/layers.test.ts runs it; type imports count too.

/** A rule that a folder imports nothing of ours but what is listed. */
function only(name, comment, from, to) {
  return {
    name,
    comment,
    severity: 'error',
    from: { path: from },
    to: { path: OURS, pathNot: to },
  };
}

const OURS = '^(proto|client|worker|coordinator|test|docs)/';
/** The loop and what it is given; below sessions and services. */
const ENGINE =
  '^coordinator/(engine|answer-reader|committed-bodies|free-space|inbox|repeated-calls|retention|runtime|store-watch)\\.ts$';
/** What puts the parts together; above everything else. */
const COMPOSITION = '^coordinator/(main|program|coordinator|index)\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment:
        'Files that import each other run in an order that nobody chose: move what both need into a third. ' +
        'Types have no order, so a cycle that a type import closes is none.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-unresolved',
      comment: 'The file or package is not there: check the spelling, or add the package to package.json.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-development-packages',
      comment: 'Who installs the package does not get devDependencies: move it to dependencies, or do without.',
      severity: 'error',
      from: { path: OURS, pathNot: '^(test|docs)/|(^|/)vitest\\.config\\.ts$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-undeclared-packages',
      comment: 'It is there only because another package wants it: add it to package.json.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    only('proto-imports-nothing', 'proto/ is the ground floor: it imports nothing of ours.', '^proto/', ['^proto/']),
    only('client-imports-proto', 'client/ imports proto/ alone.', '^client/', ['^(client|proto)/']),
    only('worker-imports-client', 'worker/ imports proto/ and client/ alone.', '^worker/', ['^(worker|proto|client)/']),
    {
      name: 'core-is-closed',
      comment:
        'coordinator/core/ imports nothing outside itself: pass time, randomness and data in as arguments (core/inputs.ts).',
      severity: 'error',
      from: { path: '^coordinator/core/' },
      to: { pathNot: '^coordinator/core/' },
    },
    only('store-imports-core', 'coordinator/store/ imports core/ and proto/ alone.', '^coordinator/store/', [
      '^coordinator/(store|core)/',
      '^proto/',
    ]),
    only(
      'engine-imports-store-and-core',
      'The engine imports store/store.ts, core/ and the queue of proto/ alone.',
      ENGINE,
      [ENGINE, '^coordinator/core/', '^coordinator/store/store\\.ts$', '^proto/fifo\\.ts$'],
    ),
    {
      name: 'the-store-is-a-contract',
      comment: 'Sessions, services and http know no store: ask the engine.',
      severity: 'error',
      from: { path: '^coordinator/(session|services|http)/' },
      to: { path: '^coordinator/store/' },
    },
    {
      name: 'session-and-http-below-services',
      comment: 'coordinator/session/ and http/ do not import services/: what both need goes below them.',
      severity: 'error',
      from: { path: '^coordinator/(session|http)/' },
      to: { path: '^coordinator/services/' },
    },
    {
      name: 'composition-on-top',
      comment:
        'Only main.ts, program.ts, coordinator.ts and index.ts put parts together; nothing in the coordinator imports them.',
      severity: 'error',
      from: { path: '^coordinator/', pathNot: [COMPOSITION, '^coordinator/pool/'] },
      to: { path: COMPOSITION },
    },
    {
      name: 'coordinator-knows-no-worker',
      comment: 'The coordinator speaks to workers and clients over the contract; coordinator/pool/ alone mixes them.',
      severity: 'error',
      from: { path: '^coordinator/', pathNot: '^coordinator/pool/' },
      to: { path: '^(client|worker|test|docs)/' },
    },
    only('examples-stand-alone', 'docs/examples/ is what a stranger copies: it imports nothing of ours.', '^docs/', [
      '^docs/',
    ]),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // The guide's own programs stand for a project of their own, which has us as a package.
    exclude: { path: '(^|/)dist/|^test/e2e/pool-guide/' },
    // Type imports are knowledge too.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
