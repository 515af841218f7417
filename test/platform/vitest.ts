/**
 * The part of vitest's interface that the conformance tests use, in plain JavaScript: where vitest itself cannot start (Node for another
 * processor, under an emulator that starts no further process), the bundled test files import this in its place. `expect` is vitest's own.
 */
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  chai,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
} from "@vitest/expect";

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

type Matchers = Record<symbol, object>;
export const expect: typeof chai.expect = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  chai.expect,
  (globalThis as unknown as Matchers)[ASYMMETRIC_MATCHERS_OBJECT],
);

interface TestContext {
  skip(reason?: string): never;
}
type Body = (...args: never[]) => unknown;
type Hook = () => unknown;

class Skipped extends Error {}

interface Suite {
  readonly name: string;
  readonly skip: boolean;
  readonly parent: Suite | null;
  readonly items: (Suite | Test)[];
  readonly before: Hook[];
  readonly after: Hook[];
  readonly beforeEach: Hook[];
  readonly afterEach: Hook[];
}

interface Test {
  readonly name: string;
  readonly skip: boolean;
  readonly run: (context: TestContext) => unknown;
}

const newSuite = (name: string, parent: Suite | null, skip = false): Suite => ({
  name,
  parent,
  skip,
  items: [],
  before: [],
  after: [],
  beforeEach: [],
  afterEach: [],
});

let current = newSuite("", null);

/** printf's places and `$name`, as vitest fills them in. */
function title(name: string, row: readonly unknown[]): string {
  let at = 0;
  const [first] = row;
  return name
    .replace(/%[sidfjo]/g, () => String(row[at++]))
    .replace(/\$(\w+)/g, (whole, key: string) =>
      typeof first === "object" && first !== null && key in first
        ? String((first as Record<string, unknown>)[key])
        : whole,
    );
}

type Declare = (name: string, ...rest: unknown[]) => void;
interface Api extends Declare {
  each(rows: readonly unknown[]): Declare;
  skipIf(condition: unknown): Api;
  runIf(condition: unknown): Api;
  skip: Api;
}
type Adder = (name: string, body: Body, row: readonly unknown[], skip: boolean) => void;

function api(add: Adder, skip = false): Api {
  const bodyOf = (rest: unknown[]): Body => rest.find((one) => typeof one === "function") as Body;
  const declare = (name: string, ...rest: unknown[]): void => add(name, bodyOf(rest), [], skip);
  return Object.defineProperty(
    Object.assign(declare, {
      each:
        (rows: readonly unknown[]): Declare =>
        (name, ...rest) => {
          for (const one of rows) {
            const row = Array.isArray(one) ? one : [one];
            add(title(name, row), bodyOf(rest), row, skip);
          }
        },
      skipIf: (condition: unknown) => api(add, skip || Boolean(condition)),
      runIf: (condition: unknown) => api(add, skip || !condition),
    }) as Api,
    "skip",
    { get: () => api(add, true) },
  );
}

export const test: Api = api((name, body, row, skip) => {
  const call = body as unknown as (...args: unknown[]) => unknown;
  current.items.push({ name, skip, run: (context) => call(...row, ...(row.length > 0 ? [] : [context])) });
});
export const it: Api = test;

export const describe: Api = api((name, body, row, skip) => {
  const suite = newSuite(name, current, skip);
  current.items.push(suite);
  current = suite;
  (body as unknown as (...args: unknown[]) => void)(...row);
  current = suite.parent!;
});

export const beforeAll = (hook: Hook): void => void current.before.push(hook);
export const afterAll = (hook: Hook): void => void current.after.push(hook);
export const beforeEach = (hook: Hook): void => void current.beforeEach.push(hook);
export const afterEach = (hook: Hook): void => void current.afterEach.push(hook);

export interface Results {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs what the file that was just imported declared, prints one line a failure, and forgets it. */
export async function runDeclared(): Promise<Results> {
  const suite = current;
  current = newSuite("", null);
  const results: Results = { passed: 0, failed: 0, skipped: 0 };
  await runSuite(suite, "", false, results);
  return results;
}

async function runSuite(suite: Suite, path: string, skip: boolean, results: Results): Promise<void> {
  const skipped = skip || suite.skip;
  const where = suite.name ? `${path}${suite.name} > ` : path;
  if (!skipped) for (const hook of suite.before) await hook();
  for (const item of suite.items) {
    if ("items" in item) await runSuite(item, where, skipped, results);
    else if (skipped || item.skip) results.skipped++;
    else await runTest(item, suite, where, results);
  }
  if (!skipped) for (const hook of suite.after) await hook();
}

async function runTest(one: Test, suite: Suite, where: string, results: Results): Promise<void> {
  const context: TestContext = {
    skip(reason) {
      throw new Skipped(reason);
    },
  };
  const line: Suite[] = [];
  for (let at: Suite | null = suite; at; at = at.parent) line.unshift(at);
  try {
    for (const { beforeEach } of line) for (const hook of beforeEach) await hook();
    await one.run(context);
    results.passed++;
  } catch (error) {
    if (error instanceof Skipped) results.skipped++;
    else {
      results.failed++;
      console.log(`FAILED ${where}${one.name}\n${(error as Error).stack ?? error}`);
    }
  } finally {
    for (const { afterEach } of line.reverse()) for (const hook of afterEach) await hook();
  }
}
