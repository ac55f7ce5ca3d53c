// The page: its head, its views, its theme, and the token where one is asked for.

import { render } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { type Ready, json, token } from "./api";
import { Budgets } from "./budgets";
import { Change } from "./change";
import { Exposure } from "./exposure";
import { Flow } from "./flow";
import { Log } from "./log";
import { Mark } from "./parts";
import { tokenNeeded, useFetched, useSignal } from "./state";
import { shortDigest } from "./words";
import { Verify } from "./verify";

const VIEWS = [
  { at: "flow", title: "Flow", view: Flow },
  { at: "exposure", title: "Exposure", view: Exposure },
  { at: "change", title: "Change", view: Change },
  { at: "budgets", title: "Budgets", view: Budgets },
  { at: "log", title: "Log", view: Log },
  { at: "verify", title: "Verify", view: Verify },
];

const placeNow = () => VIEWS.find(({ at }) => `#${at}` === location.hash) ?? VIEWS[0]!;

/** Whether data is given at all, asked once: some views ask for none by themselves. */
const probe = () => json("/v1/console/summary");

function Page() {
  const [here, go] = useState(placeNow);
  const asked = useSignal(tokenNeeded);
  useFetched(probe);
  const heading = useRef<HTMLHeadingElement>(null);
  const moved = useRef(false);
  useEffect(() => {
    const follow = () => {
      moved.current = true;
      go(placeNow());
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    document.title = `${here.title} · privet console`;
    if (moved.current) heading.current?.focus();
  }, [here]);
  const View = here.view;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); heading.current?.focus(); }}>
        Skip to the content
      </a>
      <header class="head">
        <div class="brand">
          <img src="/console/icon.svg" alt="" width="28" height="28" />
          <span>privet</span>
        </div>
        <nav aria-label="Views">
          <ul>
            {VIEWS.map(({ at, title }) => (
              <li key={at}>
                <a href={`#${at}`} aria-current={at === here.at ? "page" : undefined}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <Theme />
      </header>
      <main id="main">
        <div class="title">
          <h1 tabIndex={-1} ref={heading}>
            {here.title}
          </h1>
          <Health />
        </div>
        {asked ? <Ask /> : <View key={here.at} />}
      </main>
      <footer>
        <p>For auditors only: these counts are exact, and published aggregates are not private against whoever reads them. Nothing here is a value from an event.</p>
      </footer>
    </>
  );
}

const ready = async (): Promise<Ready> => {
  const answer = await fetch("/readyz");
  return (await answer.json()) as Ready;
};

/** The sidecar's own word on how it is. */
function Health() {
  const { value, problem } = useFetched(ready, 5000);
  if (problem) return <p class="health bad"><Mark kind="bad" /> no answer</p>;
  if (!value) return null;
  const notes = Object.entries(value.notes);
  return (
    <div class={`health ${value.ready ? "good" : "bad"}`}>
      <span>
        <Mark kind={value.ready ? "good" : "bad"} /> {value.ready ? "serving" : value.log.writable ? value.phase : "the log cannot be written"}
      </span>
      <span class="quiet">
        policy <code title={value.policy ?? ""}>{shortDigest(value.policy)}</code>
      </span>
      {notes.length > 0 && (
        <details>
          <summary>{notes.length} {notes.length === 1 ? "note" : "notes"}</summary>
          <dl>
            {notes.map(([name, text]) => (
              <div key={name}>
                <dt>{name.replaceAll("_", " ")}</dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </div>
  );
}

function Ask() {
  const [written, write] = useState("");
  const [refused, refuse] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    token.value = written.trim();
    try {
      await json("/v1/console/summary");
      tokenNeeded.value = false;
    } catch {
      token.value = undefined;
      refuse(true);
    }
  };
  return (
    <form class="card ask" onSubmit={(event) => void submit(event)}>
      <h2>Who is asking?</h2>
      <p>The data is for auditors. Give the token of <code>console.token_file</code>; it stays in the memory of this tab.</p>
      <label class="field">
        <span>Token</span>
        <input type="password" autocomplete="off" value={written} aria-invalid={refused} onInput={(event) => write(event.currentTarget.value)} />
      </label>
      {refused && <p class="problem" role="alert"><Mark kind="bad" /> This is not the token.</p>}
      <button type="submit" class="primary" disabled={written.trim() === ""}>Open</button>
    </form>
  );
}

const THEMES = ["system", "light", "dark"] as const;
const THEME_KEY = "privet-theme";

function Theme() {
  const [theme, set] = useState<(typeof THEMES)[number]>(() => THEMES.find((name) => name === localStorage.getItem(THEME_KEY)) ?? "system");
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(THEME_KEY, theme);
  }, [theme]);
  return (
    <label class="theme">
      <span class="unseen">Colours</span>
      <select value={theme} onChange={(event) => set(event.currentTarget.value as (typeof THEMES)[number])}>
        {THEMES.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

const place = document.getElementById("page");
if (place) {
  place.replaceChildren();
  render(<Page />, place);
}
