// The live page. Everything from outside goes into the page as text (textContent), never as markup.
"use strict";

const EVERY_MS = 1000;
const ICONS = { good: "✔", bad: "✖", busy: "◌", paused: "‖" };
const MOODS = {
  Healthy: "good", Successful: "good", Succeeded: "good",
  Degraded: "bad", Failed: "bad", Error: "bad",
  Paused: "paused", Inconclusive: "paused",
};
const CLASS = { good: "ok", bad: "no", busy: "wait", paused: "paused" };
const NAMES = { "success-rate": "without a server error", "error-rate": "server errors", "latency-p95": "in time" };
const $ = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function draw(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// Replaces what is in a place, unless it is the same as before or somebody is using it.
const shown = new Map();
function put(id, data, build) {
  const key = JSON.stringify(data);
  const place = $(id);
  if (shown.get(id) === key || (shown.has(id) && place.contains(document.activeElement))) return;
  shown.set(id, key);
  place.replaceChildren(...[build(data)].flat());
}

const percent = (share, digits = 1) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)} %`);
const mood = (phase) => MOODS[phase] || "busy";
const sign = (kind) => make("span", { class: CLASS[kind], "aria-hidden": "true" }, `${ICONS[kind]} `);

function seconds(count) {
  const whole = Math.max(0, Math.round(count));
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

function versionOf(state, role) {
  const found = (state.release ? state.release.revisions : []).find((revision) => revision.role === role);
  if (!found) return "";
  const hash = found.replica_set.split("-").pop();
  return state.tags[hash] || "";
}

// ---------------------------------------------------------------- head
function head(state) {
  const release = state.release;
  const kind = release ? mood(release.phase) : "busy";
  $("head").className = kind === "paused" ? "busy" : kind;
  $("icon").textContent = ICONS[kind];
  const phase = release ? `${release.name}: ${release.phase || "unknown"}` : "no release is installed";
  if ($("phase").textContent !== phase) $("phase").textContent = phase;
  $("message").textContent = release ? release.message : "Start one, for example with ./run.sh canary-failure --keep";
  document.title = release ? `${ICONS[kind]} ${release.canary_weight} % · ${release.phase} · gateproof` : "gateproof: live";
  put("weights", release && [release.stable_weight, release.canary_weight, versionOf(state, "stable"), versionOf(state, "canary")], weights);
  put("facts", release ? facts(state) : [], (rows) => rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function weights(data) {
  if (!data) return [];
  const [stable, canary, stableTag, canaryTag] = data;
  const left = make("div", { class: stable ? "stable" : "stable none" }, `stable ${stableTag} ${stable} %`);
  const right = make("div", { class: canary ? "canary" : "canary none" }, canary ? `canary ${canaryTag} ${canary} %` : "");
  left.style.flexGrow = stable; // by the DOM: the page's policy forbids style attributes in markup
  right.style.flexGrow = canary;
  return [left, right];
}

function facts(state) {
  const release = state.release;
  const rows = [["weights", `${release.stable_weight} % stable, ${release.canary_weight} % canary`]];
  if (release.step !== null) rows.push(["step", `${Math.min(release.step, release.steps)} of ${release.steps}`]);
  if (release.step_seconds !== null) rows.push(["measured", `${seconds(release.step_seconds)} of ${seconds(release.window_seconds)}`]);
  rows.push(["since the newest revision", seconds(release.elapsed)]);
  return rows;
}

// ---------------------------------------------------------------- versions
function versions(data) {
  if (!data.rows.length) return [make("p", { class: "soft" }, "No version has answered anything in the last seconds.")];
  const names = data.rows[0].promises.map((promise) => promise.name);
  const heads = ["version", "requests/s", "share", ...names.map((name) => NAMES[name] || name), "95th percentile"];
  const body = data.rows.map((row) => make("tr", {},
    make("th", { scope: "row" }, `${row.version || "?"} `, row.role ? make("span", { class: `role ${row.role}` }, row.role) : null,
      make("small", {}, row.hash)),
    cell(heads[1], row.rps.toFixed(1)),
    cell(heads[2], percent(row.share)),
    ...row.promises.map((promise, index) => promised(heads[index + 3], promise)),
    cell(heads[heads.length - 1], row.p95_seconds === null ? "–" : `${(row.p95_seconds * 1000).toFixed(0)} ms`)));
  return [make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...body))];
}

function cell(label, ...children) {
  return make("td", { "data-label": label }, make("span", {}, ...children));
}

function promised(label, promise) {
  const kind = promise.kept === null ? "busy" : promise.kept ? "good" : "bad";
  const words = { busy: "", good: "kept", bad: "broken" }[kind];
  return cell(label,
    promise.kept === null ? "" : sign(kind), make("span", { class: kind === "bad" ? "no" : "" }, percent(promise.value, 2)),
    make("small", {}, promise.limit ? `${words} (promised ${limit(promise.limit)})` : "no promise"));
}

function limit(text) {
  const [operator, number] = text.split(" ");
  return `${operator.replace(">=", "≥").replace("<=", "≤")} ${+(Number(number) * 100).toPrecision(6)} %`;
}

// ---------------------------------------------------------------- share over time
function share(data) {
  const width = Math.max(280, $("share").clientWidth), narrow = width < 520;
  const height = 220, left = 44, right = narrow ? 84 : 110, top = 12, bottom = 26;
  const x = (at) => left + (width - left - right) * Math.min(1, Math.max(0, 1 - (data.now - at) / 300));
  const y = (value) => top + (height - top - bottom) * (1 - value);
  const told = data.lines.map((line) => `${line.version} ${percent(line.points.length ? line.points[line.points.length - 1][1] : null, 0)}`);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Share of the requests now: ${told.join(", ") || "none"}` });
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, `${value * 100} %`));
  }
  for (const minutes of narrow ? [4, 2, 0] : [5, 4, 3, 2, 1, 0]) {
    svg.append(draw("text", { x: x(data.now - minutes * 60), y: height - 6, "text-anchor": minutes ? "middle" : "end" }, minutes ? `−${minutes} min` : "now"));
  }
  if (data.weight > 0) svg.append(draw("line", { class: "asked", x1: left, x2: width - right, y1: y(data.weight / 100), y2: y(data.weight / 100) }));
  const ends = [];
  for (const line of data.lines) {
    if (!line.points.length) continue;
    const kind = line.role || "old";
    svg.append(draw("path", { class: kind, d: path(line.points, x, y) }));
    const last = line.points[line.points.length - 1];
    const ended = data.now - last[0] >= 15; // then its name stands where it ended, and no share of now
    ends.push({ x: x(last[0]) + 8, at: y(last[1]) + (ended ? -6 : 4), kind, text: ended ? line.version : `${line.version} ${percent(last[1], 0)}` });
  }
  ends.sort((a, b) => a.at - b.at).forEach((end, index) => {
    if (index) end.at = Math.max(end.at, ends[index - 1].at + 15);
    svg.append(draw("text", { class: end.kind, x: end.x, y: end.at }, end.text));
  });
  return [svg];
}

function path(points, x, y) {
  let text = "", before = null;
  for (const [at, value] of points) {
    const joined = before !== null && at - before < 10;
    text += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    before = at;
  }
  return text;
}

// ---------------------------------------------------------------- tree
function tree(release) {
  if (!release) return [make("p", { class: "soft" }, "Nothing is installed.")];
  return [make("ul", {}, ...release.revisions.map(revision))];
}

function revision(each) {
  const full = each.ready === each.desired;
  return make("li", { class: each.role ? "" : "old" },
    make("b", {}, `revision ${each.number} `), each.role ? make("span", { class: `role ${each.role}` }, each.role) : null,
    make("small", { title: each.image }, each.image.replace(/(@sha256:[0-9a-f]{12})[0-9a-f]+$/, "$1…")),
    make("ul", {},
      make("li", {}, sign(full ? "good" : "busy"), make("span", { class: "name" }, each.replica_set), ` ${each.ready}/${each.desired} ready`,
        make("ul", {}, ...each.pods.map(pod))),
      ...each.analyses.map(analysis)));
}

function pod(each) {
  const kind = each.phase === "Failed" ? "bad" : each.ready ? "good" : "busy";
  const restarts = each.restarts ? `, ${each.restarts} restarts` : "";
  return make("li", {}, sign(kind), make("span", { class: "name" }, each.name), ` ${each.phase}${each.ready ? "" : ", not ready"}${restarts}`);
}

function analysis(each) {
  const kind = mood(each.phase);
  const time = each.seconds === null ? "" : ` ${seconds(each.seconds)}`;
  return make("li", {}, sign(kind), "analysis ", make("span", { class: "name" }, each.name), ` ${each.phase}`, time,
    make("ul", {}, ...each.metrics.map((metric) => make("li", {}, sign(mood(metric.phase)), `${metric.name} = ${metric.value || "–"} ${metric.phase}`))));
}

// ---------------------------------------------------------------- parts and logs
function parts(list) {
  return [...list].sort((a, b) => a.well - b.well).map((part) => make("li", {},
    sign(part.well ? "good" : "bad"), linked(part), part.well ? null : make("b", { class: "no" }, " not well"), make("small", {}, part.told)));
}

function linked(part) {
  return /^http:\/\/(127\.0\.0\.1|localhost)[:/]/.test(part.url)
    ? make("a", { href: part.url, rel: "noopener noreferrer", target: "_blank" }, part.name) : make("span", {}, part.name);
}

function choices(names) {
  const before = $("log").value;
  const usual = before || (names.includes("argo-rollouts") ? "argo-rollouts" : names[0]);
  const made = names.map((name) => make("option", { value: name }, name));
  queueMicrotask(() => { $("log").value = names.includes(usual) ? usual : names[0]; });
  return made;
}

let lines = "";
async function log() {
  const name = $("log").value;
  if (!name) return;
  const answer = await fetch(`/api/log/${name.split("/").map(encodeURIComponent).join("/")}`);
  const told = answer.ok ? (await answer.json()).lines.join("\n") : "(this log is gone)";
  if (name !== $("log").value || told === lines) return;
  lines = told;
  const place = $("lines");
  place.textContent = told || "(empty)";
  if ($("follow").checked) place.scrollTop = place.scrollHeight;
}

// ---------------------------------------------------------------- the loop
function show(state) {
  head(state);
  const gate = state.gate.conditions;
  $("versions-lead").textContent = `Over the last 15 seconds, from the app's own metrics. The gate itself measures the canary over ${state.gate.window_seconds || "its"} s, and only that decides`
    + (Object.keys(gate).length ? "." : "; no gate is installed.") + ` “In time” is within ${Number(state.gate.bound_seconds) * 1000} ms.`;
  put("versions", { rows: state.versions }, versions);
  put("share", { now: Math.round(state.now), width: $("share").clientWidth, lines: state.shares, weight: state.release ? state.release.canary_weight : 0 }, share);
  put("tree", state.release && { ...state.release, elapsed: 0, step_seconds: 0 }, tree);
  const bad = state.parts.filter((part) => !part.well).length;
  $("parts-lead").textContent = bad ? `${bad} of ${state.parts.length} are not well.` : `All ${state.parts.length} are well.`;
  $("parts-lead").className = bad ? "lead no" : "lead";
  put("parts", state.parts, parts);
  put("log", state.logs, choices);
  $("clock").textContent = `as of ${new Date(state.now * 1000).toLocaleTimeString()}`;
}

let last = 0;
async function tick() {
  try {
    const answer = await fetch("/api/state");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
    last = Date.now();
    await log();
  } catch (error) {
    $("clock").textContent = `✖ no data for ${last ? seconds((Date.now() - last) / 1000) : "now"}: the command that serves this page has ended, or is busy`;
    $("head").className = "bad";
  }
  setTimeout(tick, EVERY_MS);
}

$("log").addEventListener("change", () => { lines = ""; log(); });
tick();
