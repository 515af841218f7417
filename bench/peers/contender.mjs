/** A peer's process: asked one thing at a time (see protocol.mjs). */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));

export class Contender {
  /** `command`: program and arguments, run in this folder; `options` are added to every case it gets. */
  constructor(name, command, options = {}) {
    const [program, ...args] = command;
    this.name = name;
    this.options = options;
    this.waiting = [];
    this.child = spawn(program, args, { cwd: here, stdio: ["pipe", "pipe", "ignore"] });
    const end = (why) => {
      this.ended = why;
      for (const resolve of this.waiting.splice(0)) resolve({ error: why });
    };
    this.child.on("error", (error) => end(error.message));
    this.child.on("exit", (code) => end(`its process ended (${code})`));
    this.child.stdin.on("error", () => {}); // told by exit
    createInterface({ input: this.child.stdout }).on("line", (line) =>
      this.waiting.shift()?.(JSON.parse(line)),
    );
  }

  ask(request) {
    if (this.ended) return Promise.resolve({ error: this.ended });
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.child.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }

  prepare(one) {
    return this.ask({ do: "prepare", case: { ...one, ...this.options } });
  }

  close() {
    this.child.stdin.end();
  }
}
