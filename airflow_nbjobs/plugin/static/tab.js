"use strict";
// The tab: asks for the state of one try, shows it, and lets a frame without scripts show the notebook.
// All texts are set as text; nothing that comes from a notebook is markup here.

const MOST_CELLS = 500;
const SLOWEST_REFRESH = 30;

const byId = (id) => document.getElementById(id);
let chosenTry = null; // the newest, until a person chooses one
let shown = ""; // which notebook is in the frame, in which theme
let early = null; // the frame that was asked for before the state; it is kept if the job ended too long ago to change
let timer = null;
let clock = null;
let refreshes = 0;
let asked = 0; // how often the state was asked for: only the last answer counts

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// ---- Airflow's theme -------------------------------------------------------------------------------------------

/** Airflow's page around this one; null where the tab stands alone. */
function around() {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null; // of another origin
  }
}

const COLORS = {
  "--bg": "bg", "--bg-muted": "bg-muted", "--border": "border", "--fg": "fg", "--fg-muted": "fg-muted",
  "--brand": "brand-fg", "--brand-subtle": "brand-subtle", "--brand-muted": "brand-muted",
  "--success": "success-solid", "--failed": "failed-solid", "--failed-fg": "failed-fg", "--focus": "brand-focus-ring",
};

function theme() {
  const page = around();
  if (page) return page.documentElement.classList.contains("dark") ? "dark" : "light";
  const kept = window.localStorage.getItem("theme");
  if (kept === "dark" || kept === "light") return kept;
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function applyTheme() {
  const root = document.documentElement;
  root.dataset.theme = theme();
  const page = around();
  if (!page) return;
  const theirs = window.parent.getComputedStyle(page.documentElement);
  for (const [name, token] of Object.entries(COLORS)) {
    const color = theirs.getPropertyValue(`--chakra-colors-${token}`).trim();
    if (color) root.style.setProperty(name, color);
  }
  const font = window.parent.getComputedStyle(page.body).fontFamily;
  if (font) root.style.setProperty("--font", font);
}

// ---- Links -----------------------------------------------------------------------------------------------------

/** Airflow's frame allows neither new tabs nor (before 3.3) downloads: the page around it opens them. */
function openOutside(event) {
  const page = around();
  if (!page) return;
  const link = event.currentTarget;
  const twin = page.createElement("a");
  twin.href = link.href;
  if (link.hasAttribute("download")) twin.download = "";
  else twin.target = "_blank";
  twin.rel = "noopener noreferrer";
  page.body.append(twin);
  twin.click();
  twin.remove();
  event.preventDefault();
}

function outsideLink(name, address) {
  const link = element("a", { class: "button", href: address, target: "_blank", rel: "noopener noreferrer" }, name);
  link.addEventListener("click", openOutside);
  return link;
}

// ---- Words -----------------------------------------------------------------------------------------------------

/** As Airflow writes durations: 00:01:22. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return null;
  const whole = Math.floor(seconds);
  return [whole / 3600, (whole / 60) % 60, whole % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
}

/** As the notebook's page writes the times of cells. */
function cellTime(seconds) {
  if (seconds < 0.995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.5) return `${seconds < 9.95 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${minutes} min ${Math.round(seconds) % 60} s`;
}

/** As Airflow writes times, in the time zone that the user has chosen there. */
function moment(text) {
  let zone = "UTC";
  try {
    zone = JSON.parse(window.localStorage.getItem("timezone") ?? '"UTC"');
    if (zone === "local") zone = undefined;
    return new Date(text).toLocaleString("sv-SE", { timeZone: zone });
  } catch {
    return text;
  }
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const sentence = (word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase().replaceAll("_", " ");
const lastPart = (name) => name.split("/").pop();
/** What Airflow's own address says besides the task instance: the iteration of a task in a loop (3.4). */
function askedFor() {
  try {
    const theirs = new URLSearchParams(window.parent.location.search);
    return ["region_id", "region_index"].filter((name) => theirs.has(name)).map((name) => [name, theirs.get(name)]);
  } catch {
    return [];
  }
}

const query = (more = {}) => {
  const values = new URLSearchParams([...askedFor(), ...Object.entries(more)]);
  if (chosenTry !== null) values.set("try", chosenTry);
  const text = values.toString();
  return text ? `?${text}` : "";
};

// ---- The header ------------------------------------------------------------------------------------------------

function badgeState(job) {
  if (job.is_success) return "success";
  if (job.is_over) return "failed";
  return job.state === "RUNNING" ? "running" : "waiting";
}

function showTask(task) {
  const group = byId("tries");
  group.hidden = task.tries.length < 2;
  const made = task.tries.map(({ number, state }) => {
    const button = element(
      "button",
      { type: "button", class: "button", "aria-pressed": String(number === task.try), "aria-label": `Try ${number}, ${state || "no state"}`, "data-try": number },
      element("i", { "data-state": state, "aria-hidden": "true" }),
      String(number),
    );
    button.addEventListener("click", () => {
      chosenTry = number;
      refreshes = 0;
      refresh();
    });
    return button;
  });
  const focused = document.activeElement?.dataset?.try;
  group.replaceChildren(...made);
  if (focused) group.querySelector(`[data-try="${focused}"]`)?.focus();
}

function showStats(job, received) {
  const stats = [];
  const add = (name, value) => {
    if (value) stats.push(element("div", {}, element("dt", {}, name), element("dd", { title: value }, value)));
  };
  const passed = (performance.now() - received) / 1000;
  if (job.is_over) add("Duration", duration(job.seconds));
  else {
    add("Waited", duration(job.waited_seconds === null ? null : job.waited_seconds + (job.ran_seconds === null ? passed : 0)));
    add("Has run", duration(job.ran_seconds === null ? null : job.ran_seconds + passed));
  }
  add("Job", job.id);
  add("Runtime", job.runtime && lastPart(job.runtime));
  add("Ran as", job.runs_as);
  add("Source", job.source && lastPart(job.source));
  byId("stats").replaceChildren(...stats);
}

function showDetails(state, parameters) {
  const rows = [];
  const add = (name, value) => {
    if (value === null || value === undefined || value === "") return;
    rows.push(element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)));
  };
  const json = (value) => element("pre", {}, JSON.stringify(value, null, 2));
  const { job, notebook } = state;
  if (parameters && Object.keys(parameters).length) add("Parameters", json(parameters));
  if (state.results && Object.keys(state.results).length) add("Results", json(state.results));
  if (job) {
    add("Job", job.name);
    add("Display name", job.display_name);
    add("State", sentence(job.state));
    add("Reason", job.reason);
    add("Created", job.created && moment(job.created));
    add(job.is_over ? "Ended" : "Last change", job.updated && moment(job.updated));
    add("Runtime template", job.runtime);
    add(job.is_over ? "Ran as" : "Runs as", job.runs_as);
    add("Source", job.source);
    add("Version of the source", job.version);
    add("Output folder", job.output);
  }
  if (notebook?.kind === "executed") {
    add("Executed notebook", `${notebook.uri} (${size(notebook.size)}, generation ${notebook.generation})`);
  }
  const links = state.links.filter(({ url }) => /^https?:\/\//.test(url));
  byId("links").hidden = links.length === 0;
  byId("links").replaceChildren(...links.map(({ name, url }) => element("li", {}, outsideLink(name, url))));
  byId("details").hidden = rows.length + links.length === 0;
  document.querySelector(".scroll").hidden = rows.length === 0;
  if (!job) byId("details").open = true;
  byId("rows").replaceChildren(...rows);
}

function showProblem(message, more = "", kind = "") {
  const problem = byId("problem");
  const text = [message, more].filter(Boolean).join("\n");
  problem.hidden = !text;
  problem.dataset.kind = kind;
  if (problem.dataset.text === text) return; // a screen reader would read it again
  problem.dataset.text = text;
  problem.replaceChildren(...text.split("\n").filter(Boolean).map((line) => element("p", {}, line)));
}

// ---- The notebook ----------------------------------------------------------------------------------------------

function showNotebook(state) {
  const { notebook, problem } = state;
  for (const [id, path, isThere] of [
    ["ipynb", "notebook.ipynb", notebook],
    ["html", "notebook.html", notebook && !problem],
  ]) {
    byId(id).hidden = !isThere;
    byId(id).href = `${path}${query()}`;
  }
  byId("view").hidden = !notebook || Boolean(problem);
  const now = notebook && !problem ? `${notebook.key} ${theme()} ${chosenTry}` : "";
  const isThere = early === frameAddress() && state.job?.is_settled;
  early = null;
  if (now === shown) return;
  shown = now;
  byId("cells").hidden = true;
  byId("to-failed").hidden = true;
  if (!now) {
    byId("frame").removeAttribute("src");
    return;
  }
  if (!isThere) loadFrame();
  showFacts(state, now);
}

function loadFrame() {
  byId("loading").hidden = false;
  byId("frame").src = frameAddress();
}

const frameAddress = (at = "") => `frame${query({ theme: theme() })}${at && `#${at}`}`;

function goTo(id) {
  return (event) => {
    event.preventDefault();
    byId("frame").src = frameAddress(id);
  };
}

async function showFacts(state, asked) {
  let facts;
  try {
    const answer = await fetch(`facts${query({ theme: theme() })}`);
    facts = await answer.json();
    if (asked !== shown) return;
    if (!answer.ok) return;
  } catch {
    return; // the frame says what is wrong
  }
  showDetails(state, facts.parameters);
  byId("to-failed").hidden = facts.failed === null;
  byId("to-failed").textContent = `Go to failed cell ${facts.failed}`;
  byId("to-failed").onclick = goTo("failed-cell");
  const longest = Math.max(0.001, ...facts.cells.map((cell) => cell.seconds ?? 0));
  const items = facts.cells.slice(0, MOST_CELLS).map(({ number, seconds, has_run: hasRun }) => {
    const isFailed = number === facts.failed;
    const isSlowest = number === facts.slowest;
    const bar = element("i");
    bar.style.width = `${(100 * (seconds ?? 0)) / longest}%`;
    const link = element(
      "a",
      { href: `#cell-${number}`, class: `${isFailed ? "failed" : ""} ${isSlowest ? "slowest" : ""}` },
      element("span", {}, `Cell ${number}`),
      element("span", { class: "time" }, seconds === null ? (hasRun ? "" : "did not run") : cellTime(seconds)),
      seconds === null ? null : element("span", { class: "bar", "aria-hidden": "true" }, bar),
      isFailed ? element("span", { class: "note" }, "Failed") : null,
      isSlowest && !isFailed ? element("span", { class: "note" }, "Slowest") : null,
    );
    link.addEventListener("click", goTo(`cell-${number}`));
    return element("li", {}, link);
  });
  byId("list").replaceChildren(...items);
  byId("more-cells").hidden = facts.cells.length <= MOST_CELLS;
  byId("more-cells").textContent = `and ${facts.cells.length - MOST_CELLS} more`;
  byId("cells").hidden = facts.cells.length === 0 || state.notebook.kind === "source";
}

// ---- Asking ----------------------------------------------------------------------------------------------------

const REFUSALS = {
  401: "You are no longer logged in to Airflow. Log in, and reload the page.",
  403: "You may not see this task's notebook. Ask for the permission to read the DAG's task instances, logs and XComs.",
  404: "This task instance no longer exists. Go back to the run.",
};

async function refresh() {
  clearTimeout(timer);
  clearInterval(clock);
  const number = ++asked;
  let state;
  try {
    const answer = await fetch(`state${query()}`);
    if (number !== asked) return;
    if (!answer.ok) {
      showProblem(REFUSALS[answer.status] ?? `Airflow answered with the status ${answer.status}. Reload the page later.`);
      if (answer.status >= 500) again(15);
      return;
    }
    state = await answer.json();
  } catch {
    if (number !== asked) return;
    showProblem("Airflow does not answer. This page tries again.");
    again(15);
    return;
  } finally {
    document.querySelector("main").setAttribute("aria-busy", "false");
  }
  if (number !== asked) return;
  show(state);
  if (state.refresh_seconds) again(state.refresh_seconds);
}

function show(state) {
  const { task, job, problem } = state;
  showTask(task);
  const badge = byId("badge");
  const word = job ? sentence(job.state) : "";
  if (badge.textContent !== word) badge.textContent = word;
  if (job) {
    badge.dataset.state = badgeState(job);
    const received = performance.now();
    showStats(job, received);
    if (!job.is_over) clock = setInterval(() => showStats(job, received), 1000);
  } else byId("stats").replaceChildren();
  if (!shown || problem) showDetails(state, null);
  const isSource = state.notebook?.kind === "source" && !problem;
  if (problem) showProblem(problem.message);
  else if (job?.reason && !state.notebook) showProblem(`The job ${job.state.toLowerCase()}: ${job.reason}`, "", "failed");
  else showProblem(isSource ? "The job has not ended. This is its source notebook; the executed one appears here when it has." : "");
  showNotebook(state);
}

/** Ask again, less often with time, and not while nobody sees the page. */
function again(seconds) {
  if (document.hidden) return;
  refreshes += 1;
  const wait = Math.min(SLOWEST_REFRESH, seconds * (1 + Math.floor(refreshes / 12)));
  timer = setTimeout(refresh, 1000 * wait);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
    timer = null;
  } else if (byId("badge").dataset.state !== "success" && byId("badge").dataset.state !== "failed") refresh();
});
byId("frame").addEventListener("load", () => {
  if (byId("frame").hasAttribute("src")) byId("loading").hidden = true;
});
for (const id of ["ipynb", "html"]) byId(id).addEventListener("click", openOutside);
applyTheme();
early = frameAddress();
loadFrame();
const page = around();
if (page) {
  new MutationObserver(() => {
    applyTheme();
    refresh();
  }).observe(page.documentElement, { attributes: true, attributeFilter: ["class"] });
}
refresh();
