/** Where an agent's authority is and how to reach it: what code says, and the environment for the rest. */
"use strict";

const diagnostics = require("node:diagnostics_channel");
const fs = require("node:fs");
const path = require("node:path");

const native = require("./native");
const { ConnectError } = require("./errors");

/** Every alarm is published here, as `{ agentId, code, text }`. */
const channel = diagnostics.channel("kakunin:alarm");

const OPTIONS = [
  "token",
  "directory",
  "state",
  "caFile",
  "root",
  "issuer",
  "maxAge",
  "withoutFeed",
  "timeout",
  "mode",
  "journal",
];

/**
 * What is not given is taken from the environment. No variable takes a check away.
 *
 * @param {unknown} url
 * @param {unknown} agent
 * @param {any} options
 * @returns {import("./native").LineOptions}
 */
function line(url, agent, options) {
  const name = text("agent", agent) ?? variable("KAKUNIN_AGENT");
  if (name === undefined) throw usage("no agent is named", "pass its id or its name, or set KAKUNIN_AGENT");
  const urls = addresses(url ?? variable("KAKUNIN_URL"));
  if (urls.length === 0) throw usage("no authority is named", "pass its address, or set KAKUNIN_URL");
  const place =
    text("directory", options.directory) ??
    variable("KAKUNIN_AGENT_DIR") ??
    path.join(".kakunin", "agents", name);
  // A path in any case: only code can choose to have no state.
  const kept = variable("KAKUNIN_STATE_DIR");
  const trusted = text("caFile", options.caFile) ?? variable("KAKUNIN_CA_FILE");
  const { withoutFeed = false } = options;
  if (typeof withoutFeed !== "boolean") throw new TypeError("`withoutFeed` is true or false");
  return {
    urls,
    agent: name,
    token: text("token", options.token) ?? variable("KAKUNIN_TOKEN"),
    directory: realPath(place),
    state: text("state", options.state) ?? (kept === undefined ? undefined : path.resolve(kept)),
    caFile: trusted === undefined ? undefined : path.resolve(trusted),
    root: text("root", options.root) ?? variable("KAKUNIN_ROOT"),
    issuer: text("issuer", options.issuer),
    maxAge: wholeSeconds(options.maxAge),
    withoutFeed,
    timeoutMillis: millis(options.timeout ?? 10),
  };
}

/**
 * Connects and opens the agent: its handle.
 *
 * @param {import("./native").LineOptions} line
 * @param {import("./native").OpenOptions} kept
 * @returns {Promise<number>}
 */
async function connected(line, kept) {
  if (typeof native.connect !== "function") {
    throw new ConnectError(
      "this build of kakunin-node cannot connect: it was made without the feature `connect`",
      "connect.absent",
      "install the package that is published, or build with the feature `connect`",
    );
  }
  const { agent, code, message, fix } = await native.connect(line, kept);
  if (agent === undefined) throw new ConnectError(message ?? "", code ?? "internal", fix ?? "");
  return agent;
}

/**
 * What `agent.status()` answers; nothing for an agent that was opened in another way.
 *
 * @param {number} handle
 * @returns {import("./index").Status | undefined}
 */
function statusOf(handle) {
  const status = typeof native.connectionStatus === "function" ? native.connectionStatus(handle) : null;
  if (status === null) return undefined;
  const { lastError } = status;
  const none = {
    url: null,
    transport: null,
    epoch: null,
    age: null,
    freshFor: null,
    maxAge: null,
    acknowledged: null,
  };
  return Object.freeze(
    /** @type {import("./index").Status} */ ({
      ...none,
      ...status,
      fresh: (status.freshFor ?? 0) > 0,
      certificateUntil: date(status.certificateUntil),
      listsUntil: date(status.listsUntil),
      lastError:
        lastError === undefined ? null : Object.freeze({ ...lastError, at: new Date(lastError.at * 1000) }),
    }),
  );
}

/**
 * Tells of what happened and an operator should know: each alarm on the channel, and those that ask for somebody as a warning.
 *
 * @param {{ agentId: string, notices: () => string[] }} agent
 * @param {number} handle
 */
function tell(agent, handle) {
  for (const notice of agent.notices()) process.emitWarning(`${agent.agentId}: ${notice}`, "KakuninWarning");
  const alarms = native.takeAlarms(handle);
  for (let at = 0; at + 1 < alarms.length; at += 2) {
    const [code = "", said = ""] = alarms.slice(at, at + 2);
    if (channel.hasSubscribers) channel.publish({ agentId: agent.agentId, code, text: said });
    if (!GOOD_NEWS.has(code)) {
      process.emitWarning(`${agent.agentId}: ${said} [${code}]`, { type: "KakuninWarning", code });
    }
  }
}

/** @param {number | undefined} seconds */
function date(seconds) {
  return seconds === undefined ? null : new Date(seconds * 1000);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string | undefined}
 */
function text(name, value) {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw new TypeError(`\`${name}\` of Agent.connect is a string`);
  return value;
}

/** @param {unknown} given */
function addresses(given) {
  const several = typeof given === "string" ? given.split(",") : (given ?? []);
  if (!Array.isArray(several) || several.some((url) => typeof url !== "string")) {
    throw new TypeError("the address of an authority is a string, or an array of them");
  }
  return several.map((url) => url.trim()).filter((url) => url !== "");
}

/** @param {unknown} seconds */
function wholeSeconds(seconds) {
  if (seconds === undefined || seconds === null) return undefined;
  if (typeof seconds === "number" && Number.isInteger(seconds) && seconds >= 1 && seconds < 2 ** 32)
    return seconds;
  throw new TypeError("`maxAge` is a whole number of seconds, 1 at least");
}

/** @param {unknown} seconds */
function millis(seconds) {
  // Who takes it for milliseconds hears of it.
  if (typeof seconds === "number" && seconds >= 0 && seconds <= 3600) return Math.ceil(seconds * 1000);
  throw new TypeError("`timeout` is a number of seconds, 3600 at most");
}

/**
 * One path for one folder, also for one that is made later.
 *
 * @param {string} directory
 * @returns {string}
 */
function realPath(directory) {
  const whole = path.resolve(directory);
  try {
    return fs.realpathSync(whole);
  } catch {
    const above = path.dirname(whole);
    return above === whole ? whole : path.join(realPath(above), path.basename(whole));
  }
}

/** @param {string} name */
function variable(name) {
  return process.env[name]?.trim() || undefined;
}

/**
 * @param {string} what
 * @param {string} fix
 */
function usage(what, fix) {
  return new ConnectError(what, "connect.usage", fix);
}

const GOOD_NEWS = new Set(["feed.recovered", "renewal.moved"]);

module.exports = { OPTIONS, line, connected, realPath, statusOf, tell };
