// What the dashboard's test stands on: a browser, the host's API asked from outside of it, a wire to the host that
// can be cut, and waiting for conditions.

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import net from "node:net";

/** How long anything may take that the test waits for: some 20 times what it takes on two busy cores. */
export const PATIENCE_MS = 60_000;

const modules = new URL("../../target/dashboard/package.json", import.meta.url);
const { chromium } = createRequire(modules)("playwright-core");

/** The browser that is installed. Keep in step with `has_browser` in fetch.sh. */
function browserFile() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  for (const name of names) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next one may be there.
    }
  }
  throw new Error("no Chromium: run tests/dashboard/fetch.sh (make browser)");
}

/** A browser with a profile of its own, which is gone with it. */
export function launch() {
  const quiet = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  // Chromium's own sandbox does not work for root.
  const root = process.getuid() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: browserFile(), args: [...quiet, ...root] });
}

/** Waits until `look` finds something, and returns it. */
export async function until(what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Asks the API, as a program would. */
export function api(address, token) {
  return async (path) => {
    const response = await fetch(`http://${address}/api/v1/${path}`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
}

/**
 * A wire to the host: what connects to its `address` reaches the host until it is cut, and again when it is mended.
 */
export async function wire(address) {
  const [host, port] = [
    address.slice(0, address.lastIndexOf(":")),
    Number(address.slice(address.lastIndexOf(":") + 1)),
  ];
  const ends = new Set();
  let isCut = false;
  const server = net.createServer((near) => {
    if (isCut) return near.destroy();
    const far = net.connect({ host, port });
    for (const end of [near, far]) {
      ends.add(end);
      end.on("error", () => end.destroy());
      end.on("close", () => {
        ends.delete(end);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${server.address().port}`,
    cut() {
      isCut = true;
      for (const end of ends) end.destroy();
    },
    mend: () => (isCut = false),
    close: () => (server.close(), ends.forEach((end) => end.destroy())),
  };
}
