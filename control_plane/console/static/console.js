// What is more pleasant with a script. Every page works without it.

const dates = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium", timeStyle: "short",
});
const zone = new Intl.DateTimeFormat(undefined, {timeZoneName: "short"})
  .formatToParts(new Date()).find((part) => part.type === "timeZoneName").value;

/** Show each time in the reader's zone, with UTC beside it. */
function localise(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    const utc = document.createElement("span");
    utc.className = "utc";
    utc.textContent = each.textContent;
    const own = document.createElement("span");
    own.className = "own";
    own.textContent = `${dates.format(moment)} ${zone}`;
    each.classList.add("both");
    each.replaceChildren(own, " ", utc);
  }
}

/** Have each `data-copy` button copy the text of the element that it names. */
function addCopying(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const copied = document.getElementById(button.dataset.copy);
      await navigator.clipboard.writeText(copied.value ?? copied.textContent);
      button.textContent = "Copied";
    });
  }
}

/** Return an element with a class and children. */
function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Yield each JSON object of an answer that has one a line, as it comes. */
async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

/** Show how far a check has come. */
function showSteps(shown, told) {
  const steps = told.steps.map((step) => make(
    "li", step.state, make("strong", "", step.name), " ",
    make("span", "soft", step.told),
    ...(step.words ? [make("p", "error", step.words)] : []),
  ));
  const before = [...shown.querySelectorAll(".steps li")];
  if (steps.length === 0 || before.length !== steps.length) {
    shown.replaceChildren(
      ...told.problems.map((words) => make("p", "refusal", words)),
      ...(steps.length ? [make("ol", "steps", ...steps)] : []),
    );
    return;
  }
  before.forEach((step, at) => { // a screen reader reads what is new alone
    if (!step.isEqualNode(steps[at])) step.replaceWith(steps[at]);
  });
}

/** Have each `data-try` button try the login of its form, and show the steps as they happen. */
function addTrying(root) {
  for (const button of root.querySelectorAll("button[data-try]")) {
    const form = button.form;
    const shown = form.querySelector("[data-tried]");
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-disabled")) return;
      button.setAttribute("aria-disabled", "true");
      shown.hidden = false;
      shown.replaceChildren(make("p", "soft", "The registry is asked…"));
      try {
        const answer = await fetch(button.formAction, {
          method: "POST", body: new URLSearchParams(new FormData(form)),
          headers: {Accept: "application/x-ndjson"},
        });
        const type = answer.headers.get("Content-Type") ?? "";
        if (!type.startsWith("application/x-ndjson")) {
          form.requestSubmit(button); // what is wrong is said by the page
          return;
        }
        for await (const told of lines(answer)) showSteps(shown, told);
      } catch {
        shown.replaceChildren(make("p", "refusal", "It could not be tried: is your session over?"));
      }
      button.removeAttribute("aria-disabled");
    });
  }
}

const MAX_FILE_BYTES = 64 * 1024; // what the server reads of a certificate

/** Put the text of a file into a field. */
async function take(file, field) {
  if (!file) return;
  field.value = file.size > MAX_FILE_BYTES ? "" : await file.text();
  field.setCustomValidity(file.size > MAX_FILE_BYTES ? "This file is too large" : "");
  field.reportValidity();
  field.focus();
}

/** Have files dropped on a `data-drop`, or chosen at a `data-pick`, fill the named field. */
function addFiles(root) {
  for (const place of root.querySelectorAll("[data-drop]")) {
    const field = document.getElementById(place.dataset.drop);
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
    for (const name of ["dragleave", "drop"]) {
      place.addEventListener(name, () => place.classList.remove("over"));
    }
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer.files[0], field);
    });
  }
  for (const label of root.querySelectorAll("[data-pick]")) {
    label.hidden = false;
    label.querySelector("input").addEventListener("change", (event) => {
      take(event.target.files[0], document.getElementById(label.dataset.pick));
    });
  }
}

const TWICE_MS = 3000; // two clicks of one intention; whoever stopped the page may send again

/** Have a form that is clicked twice be sent once: the second answer would hide the first one's. */
function addSendingOnce(root) {
  for (const form of root.querySelectorAll("form[method=post]")) {
    let sentAt = -Infinity;
    form.addEventListener("submit", (event) => {
      if (event.timeStamp - sentAt < TWICE_MS) event.preventDefault();
      else sentAt = event.timeStamp;
    });
  }
}

if (new Date().getTimezoneOffset() !== 0) localise(document);
addCopying(document);
addTrying(document);
addSendingOnce(document);
addFiles(document);
