// Shows the OpenAPI document of this service and lets a reader try its operations. Texts only ever become text nodes.
"use strict";

const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Code spans, bold and links of one line of Markdown.
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return element("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return element("b", {}, part.slice(2, -2));
    return part;
  });
}

// As much Markdown as the document uses: headings, lists, tables, code, paragraphs.
function markdown(text) {
  const made = element("div");
  let list = null, table = null, code = null;
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      code = code ? null : element("pre");
      if (code) made.append(code);
      list = table = null;
      continue;
    }
    if (code) {
      code.append(`${line}\n`);
      continue;
    }
    const heading = line.match(/^(#+) (.*)/), item = line.match(/^(?:-|\d+\.) (.*)/);
    if (line.startsWith("|")) {
      const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
      if (cells.every((cell) => /^-+$/.test(cell))) continue;
      if (!table) made.append((table = element("table")));
      const kind = table.children.length ? "td" : "th";
      table.append(element("tr", {}, ...cells.map((cell) => element(kind, {}, ...inline(cell)))));
      continue;
    }
    table = null;
    if (item) {
      if (!list) made.append((list = element(/^\d/.test(line) ? "ol" : "ul")));
      list.append(element("li", {}, ...inline(item[1])));
      continue;
    }
    list = null;
    if (heading) made.append(element(`h${Math.min(6, heading[1].length + 1)}`, {}, heading[2]));
    else if (line.trim()) made.append(element("p", {}, ...inline(line)));
  }
  return made;
}

let api;

function resolve(schema) {
  const path = schema?.$ref?.slice(2).split("/");
  return path ? path.reduce((found, part) => found[part], api) : schema;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const limits = [["minimum", "≥"], ["maximum", "≤"], ["minLength", "min"], ["maxLength", "max"]];
  const told = limits.filter(([key]) => schema[key] !== undefined).map(([key, sign]) => `${sign} ${schema[key]}`);
  return [[].concat(schema.type ?? "any").join(" | "), schema.format, ...told].filter(Boolean).join(", ");
}

function fieldTable(schema) {
  const whole = resolve(schema);
  const parts = whole?.allOf ? whole.allOf.map(resolve) : [whole];
  const rows = parts.flatMap((part) => Object.entries(part?.properties ?? {}).map(([name, field]) => [name, field, part.required?.includes(name)]));
  if (!rows.length) return null;
  return element("table", {}, element("tr", {}, ...["field", "type", "meaning"].map((h) => element("th", {}, h))),
    ...rows.map(([name, field, required]) => element("tr", {},
      element("td", {}, element("code", {}, name), required ? " *" : ""),
      element("td", {}, typeOf(field)),
      element("td", {}, field.description ?? "", field.default !== undefined ? element("div", { class: "hint" }, `default ${JSON.stringify(field.default)}`) : null))));
}

// An example of a schema, from the examples of its fields.
function example(schema, depth = 0) {
  const whole = resolve(schema);
  if (!whole || depth > 6) return null;
  if (whole.examples) return whole.examples[0];
  if (whole.allOf) return Object.assign({}, ...whole.allOf.map((part) => example(part, depth + 1)));
  if (whole.anyOf) return example(whole.anyOf[0], depth + 1);
  if (whole.type === "array") return [example(whole.items, depth + 1)];
  if (whole.properties) return Object.fromEntries(Object.entries(whole.properties).map(([name, field]) => [name, example(field, depth + 1)]));
  return null;
}

function tryOut(path, method, operation) {
  const inputs = (operation.parameters ?? []).filter((p) => p.in !== "header" || p.name === "If-Match").map((p) => [p, element("input", { placeholder: typeOf(p.schema), "aria-label": p.name })]);
  const media = Object.entries(operation.requestBody?.content ?? {})[0];
  const body = media ? element("textarea", { "aria-label": "body", spellcheck: "false" }) : null;
  if (body) body.value = media[0].includes("json") ? JSON.stringify(media[1].example ?? {}, null, 2) : "";
  const answer = element("pre", { "aria-live": "polite" });
  const send = async () => {
    let url = path;
    const query = new URLSearchParams(), headers = {};
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value) headers[parameter.name] = input.value;
    }
    if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
    if (body) headers["Content-Type"] = media[0];
    answer.textContent = "…";
    try {
      const got = await fetch(url + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body: body?.value });
      const text = await got.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
      answer.textContent = `${got.status} ${got.statusText}\nX-Request-Id: ${got.headers.get("x-request-id")}\n\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  return element("details", {}, element("summary", {}, "Try it"),
    ...inputs.map(([parameter, input]) => element("div", {}, element("label", {}, `${parameter.name} `, input))),
    body, element("button", { onclick: send, type: "button" }, "Send"), answer);
}

function show(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const media = Object.entries(operation.requestBody?.content ?? {})[0];
  const answers = Object.entries(operation.responses).map(([status, answer]) => {
    const whole = resolve(answer), schema = Object.values(whole.content ?? {})[0]?.schema;
    const details = status < 300 && schema ? [fieldTable(schema), element("pre", {}, JSON.stringify(example(schema), null, 2))] : [];
    const head = element("summary", {}, `${status} ${whole.description ?? ""}`);
    return details.length ? element("details", {}, head, ...details) : element("div", { class: "hint" }, `${status} ${whole.description ?? ""}`);
  });
  return element("section", { id: operation.operationId },
    element("h3", {}, element("span", { class: "method" }, method.toUpperCase()), ` ${path}`),
    element("p", {}, element("b", {}, operation.summary)),
    markdown(operation.description ?? ""),
    parameters.length ? element("details", {}, element("summary", {}, `Parameters (${parameters.length})`),
      element("table", {}, ...parameters.map((p) => element("tr", {}, element("td", {}, element("code", {}, p.name), p.required ? " *" : ""), element("td", {}, p.in), element("td", {}, typeOf(p.schema)), element("td", {}, p.description ?? ""))))) : null,
    media ? element("details", {}, element("summary", {}, "Body"), fieldTable(media[1].schema) ?? typeOf(media[1].schema), media[1].example ? element("pre", {}, JSON.stringify(media[1].example, null, 2)) : null) : null,
    element("details", {}, element("summary", {}, "Answers"), ...answers),
    tryOut(path, method, operation));
}

function render() {
  const wanted = $("find").value.toLowerCase();
  const nav = $("nav"), main = $("main");
  nav.replaceChildren();
  main.replaceChildren(...(wanted ? [] : [markdown(api.info.description)]));
  const chapters = new Map(api.tags.map((tag) => [tag.name, []]));
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, operation] of Object.entries(methods)) chapters.get(operation.tags[0])?.push([path, method, operation]);
  for (const [name, operations] of chapters) {
    const fitting = operations.filter(([path, method, o]) => !wanted || `${method} ${path} ${o.summary} ${o.description} ${o.operationId}`.toLowerCase().includes(wanted));
    if (!fitting.length) continue;
    nav.append(element("h2", {}, name), ...fitting.map(([, , o]) => element("a", { href: `#${o.operationId}` }, o.summary)));
    main.append(element("h2", {}, name), ...fitting.map(([path, method, o]) => show(path, method, o)));
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("/api/openapi.json").then((answer) => answer.json()).then((document) => {
  api = document;
  render();
  $("find").addEventListener("input", render);
}).catch((error) => { $("main").textContent = `The document can't be read: ${error}`; });
