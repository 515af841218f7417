// The ways of the house: kernels -> tensor -> nn -> moe -> models -> { train, infer, surgery, inspect } -> { serve, cli }.
const order = ["kernels", "tensor", "nn", "moe", "models", "(train|infer|surgery|inspect)", "(serve|cli)"];

const upward = order.flatMap((layer, i) =>
  order.slice(i + 1).map((above) => ({
    name: `${layer} must not know ${above}`.replaceAll(/[()]/g, ""),
    severity: "error",
    from: { path: `^src/${layer}/`, pathNot: "\\.test\\.ts$" },
    to: { path: `^src/${above}/` },
  })),
);

module.exports = {
  forbidden: [
    ...upward,
    { name: "no cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "kernels import only errors",
      severity: "error",
      from: { path: "^src/kernels/", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/", pathNot: "^src/(kernels/|errors\\.ts)" },
    },
    {
      name: "formats import only errors and the block formats",
      severity: "error",
      from: { path: "^src/formats/", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/", pathNot: "^src/(formats/|errors\\.ts|kernels/blocks/)" },
    },
    {
      name: "block formats stand alone",
      severity: "error",
      from: { path: "^src/kernels/blocks/", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/", pathNot: "^src/(kernels/blocks/|errors\\.ts)" },
    },
    {
      name: "tensor, nn and moe do not read files",
      severity: "error",
      from: { path: "^src/(tensor|nn|moe)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^src/formats/" },
    },
    {
      name: "one family does not import another",
      severity: "error",
      from: { path: "^src/models/families/([^/]+)\\.ts$" },
      to: { path: "^src/models/families/", pathNot: "^src/models/families/$1" },
    },
    { name: "train does not know infer", severity: "error", from: { path: "^src/train/" }, to: { path: "^src/infer/" } },
    { name: "infer does not know train", severity: "error", from: { path: "^src/infer/" }, to: { path: "^src/train/" } },
    { name: "inspection listens to taps", severity: "error", from: { path: "^src/models/" }, to: { path: "^src/inspect/" } },
    {
      name: "everything else must run in a browser",
      severity: "error",
      from: {
        path: "^src/",
        pathNot: "^src/(cli/|serve/|formats/files[^/]*\\.ts|kernels/(native|threads\\.node)\\.ts)|\\.test\\.ts$",
      },
      to: { dependencyTypes: ["core"] },
    },
    { name: "no drawer for odds and ends", severity: "error", from: {}, to: { path: "/(utils?|helpers?)/" } },
    { name: "everything resolves", severity: "error", from: {}, to: { couldNotResolve: true, pathNot: "^#" } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
