// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/page.h"

#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace anycast::render {

namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{0}</title><style>
body{{font:15px/1.45 system-ui,sans-serif;margin:1.5rem;max-width:75rem;color:#1b1f24}}
h1{{font-size:1.35rem}}h2{{font-size:1.05rem;margin:1.6rem 0 .3rem}}
table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid #d8dee4;vertical-align:top}}
th{{font-weight:600;color:#57606a}}td.n{{text-align:right;font-variant-numeric:tabular-nums}}
.good{{color:#116329}}.warn{{color:#7d4e00}}.bad{{color:#a40e26;font-weight:600}}
ul{{margin:.3rem 0;padding-left:1.2rem}}
@media(prefers-color-scheme:dark){{body{{background:#0d1117;color:#e6edf3}}th{{color:#9198a1}}
th,td{{border-color:#30363d}}.good{{color:#56d364}}.warn{{color:#e3b341}}.bad{{color:#ff7b72}}}}
</style></head><body>
<h1>{0}</h1>
)";

std::string text_of(const json &object, const char *key)
{
	const auto found = object.find(key);
	if (found == object.end() || found->is_null())
		return "";
	if (found->is_string())
		return found->get<std::string>();
	if (found->is_number_float())
		return fmt::format("{:.1f}", found->get<double>());
	return found->dump();
}

const json &list_of(const json &object, const char *key)
{
	static const json none = json::array();
	const auto found = object.find(key);
	return found != object.end() && found->is_array() ? *found : none;
}

struct Cell {
	std::string text;
	std::string_view style = {};
};

std::string_view style_of(std::string_view word)
{
	for (const std::string_view good :
	     {"up", "announced", "Established", "ok", "running", "Up"})
		if (word == good)
			return "good";
	for (const std::string_view bad : {"down", "withdrawn", "absent", "hung", "refused",
					   "rejected", "Idle", "Down", "not_ours"})
		if (word == bad)
			return "bad";
	return "warn";
}

Cell state_cell(std::string text)
{
	const std::string_view style = style_of(text);
	return {std::move(text), style};
}

class Table {
public:
	Table(std::string &out, std::string_view title, const std::vector<std::string_view> &heads)
		: out_(out)
	{
		out_ += fmt::format("<h2>{}</h2><table><tr>", title);
		for (const std::string_view head : heads)
			out_ += fmt::format("<th>{}</th>", head);
		out_ += "</tr>\n";
	}
	~Table() { out_ += "</table>\n"; }
	Table(const Table &) = delete;
	Table &operator=(const Table &) = delete;
	void row(const std::vector<Cell> &cells)
	{
		out_ += "<tr>";
		for (const Cell &cell : cells)
			out_ += cell.style.empty()
					? fmt::format("<td>{}</td>", html_escaped(cell.text))
					: fmt::format("<td class=\"{}\">{}</td>", cell.style,
						      html_escaped(cell.text));
		out_ += "</tr>\n";
	}

private:
	std::string &out_;
};

void add_vips(std::string &out, const json &status)
{
	Table table(out, "VIPs", {"VIP", "Address", "Port", "State", "Health", "Why", "Order"});
	for (const json &vip : list_of(status, "vips")) {
		const auto order = vip.find("order");
		table.row({{text_of(vip, "vip") +
			    (text_of(vip, "canary") == "true" ? " (canary)" : "")},
			   {text_of(vip, "address")},
			   {text_of(vip, "port") == "0" ? "any" : text_of(vip, "port")},
			   state_cell(text_of(vip, "state")),
			   state_cell(text_of(vip, "health")),
			   {text_of(vip, "reason")},
			   {order != vip.end() && order->is_object() ? text_of(*order, "reason")
								     : ""}});
	}
}

void add_check_rows(Table &table, const std::string &owner, const json &checks)
{
	for (const json &check : checks)
		table.row({{owner},
			   {text_of(check, "check")},
			   {text_of(check, "address") +
			    (text_of(check, "through").empty()
				     ? ""
				     : " through " + text_of(check, "through"))},
			   state_cell(text_of(check, "health")),
			   {text_of(check, "detail")},
			   {text_of(check, "took_ms") + " ms"},
			   {text_of(check, "failures") + " of " + text_of(check, "runs")}});
}

void add_checks(std::string &out, const json &status)
{
	Table table(out, "Health checks",
		    {"Of", "Check", "Address", "Health", "Last result", "Took", "Failed"});
	for (const json &vip : list_of(status, "vips"))
		add_check_rows(table, text_of(vip, "vip"), list_of(vip, "checks"));
	for (const json &pool : list_of(status, "pools"))
		for (const json &backend : list_of(pool, "backends"))
			add_check_rows(table,
				       text_of(pool, "pool") + "/" + text_of(backend, "backend"),
				       list_of(backend, "checks"));
}

void add_backends(std::string &out, const json &status)
{
	Table table(out, "Backends",
		    {"Pool", "Backend", "Address", "Health", "Configured", "Taken out"});
	for (const json &pool : list_of(status, "pools"))
		for (const json &backend : list_of(pool, "backends"))
			table.row({{text_of(pool, "pool")},
				   {text_of(backend, "backend")},
				   {text_of(backend, "address")},
				   state_cell(text_of(backend, "health")),
				   {text_of(backend, "configured")},
				   {text_of(backend, "taken_out") == "true" ? "yes" : ""}});
}

void add_bird(std::string &out, const json &status)
{
	const auto bird = status.find("bird");
	if (bird == status.end() || !bird->is_object())
		return;
	Table table(out,
		    fmt::format("BGP: {} {}", html_escaped(text_of(*bird, "state")),
				html_escaped(text_of(*bird, "problem"))),
		    {"Session", "Neighbour", "ASN", "State", "BFD", "VIPs", "Last error"});
	for (const json &session : list_of(*bird, "sessions"))
		table.row({{text_of(session, "session")},
			   {text_of(session, "neighbour")},
			   {text_of(session, "neighbour_asn")},
			   state_cell(text_of(session, "state")),
			   {text_of(session, "bfd")},
			   {text_of(session, "exported") + " of " + text_of(session, "expected")},
			   {text_of(session, "last_error")}});
}

void add_drops(std::string &out, const json &status)
{
	for (const json &interface : list_of(status, "interfaces")) {
		Table table(out, "Packets on " + html_escaped(text_of(interface, "interface")),
			    {"Reason", "Class", "Packets", "Bytes"});
		for (const json &row : list_of(interface, "reasons"))
			table.row({{text_of(row, "reason")},
				   {text_of(row, "class")},
				   {text_of(row, "packets"), "n"},
				   {text_of(row, "bytes"), "n"}});
	}
}

void add_loss(std::string &out, const json &status)
{
	const auto loss = status.find("loss");
	const bool measured = loss != status.end() && loss->is_object();
	out += "<h2>Loss before this node</h2><p>";
	out += measured ? fmt::format("{:.0f} of {:.0f} segments of the flows in the table, {:.2f} "
				      "per mille",
				      loss->value("lost", 0.0), loss->value("of", 0.0),
				      loss->value("per_mille", 0.0))
			: "Not measurable: no flow in the table tells.";
	out += "</p>\n";
}

void add_problems(std::string &out, const json &status)
{
	std::vector<std::string> problems;
	for (const json &problem : list_of(status, "problems"))
		problems.push_back(problem.get<std::string>());
	const auto load = status.find("load");
	if (load != status.end() && !text_of(*load, "reason").empty())
		problems.push_back("overload: " + text_of(*load, "reason"));
	if (problems.empty()) {
		out += "<p class=\"good\">No problems.</p>\n";
		return;
	}
	out += "<ul>";
	for (const std::string &problem : problems)
		out += fmt::format("<li class=\"bad\">{}</li>", html_escaped(problem));
	out += "</ul>\n";
}

} // namespace

std::string html_escaped(std::string_view text)
{
	std::string out;
	for (const char c : text)
		switch (c) {
		case '&':
			out += "&amp;";
			break;
		case '<':
			out += "&lt;";
			break;
		case '>':
			out += "&gt;";
			break;
		case '"':
			out += "&quot;";
			break;
		case '\'':
			out += "&#39;";
			break;
		default:
			out += c;
		}
	return out;
}

std::string status_page(const json &status)
{
	const std::string node = text_of(status, "node");
	std::string out = fmt::format(
		kHead, html_escaped("anycast-xdp" + (node.empty() ? "" : " on " + node)));
	add_problems(out, status);
	add_vips(out, status);
	add_backends(out, status);
	add_bird(out, status);
	add_checks(out, status);
	add_loss(out, status);
	add_drops(out, status);
	return out + "</body></html>\n";
}

} // namespace anycast::render
