// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/agent.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using json = nlohmann::ordered_json;

std::string text_of(const json &object, const char *key)
{
	const auto found = object.is_object() ? object.find(key) : object.end();
	return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json &member(const json &object, const char *key)
{
	static const json none;
	const auto found = object.is_object() ? object.find(key) : object.end();
	return found != object.end() ? *found : none;
}

// A hint stands on a line of its own where there is room for one.
std::string one_line(std::string text)
{
	for (std::size_t at = 0; (at = text.find('\n', at)) != text.npos;) {
		const std::size_t end = text.find_first_not_of(" \n", at);
		text.replace(at, (end == text.npos ? text.size() : end) - at, " ");
	}
	return text;
}

// Why it is in that state, and what an operator asked for.
std::string why_of(const json &vip)
{
	std::string why = one_line(text_of(vip, "reason"));
	const json &order = member(vip, "order");
	const std::string asked = text_of(order, "reason");
	if (!asked.empty() && why.find(asked) == why.npos)
		why += (why.empty() ? "order: " : "; order: ") + asked;
	return why;
}

void add_vips(std::string &out, const json &status)
{
	Table table({{"VIP"}, {"ADDRESS"}, {"STATE"}, {"HEALTH"}, {"WAITS"}, {"WHY"}});
	for (const json &vip : member(status, "vips")) {
		const json &wait = member(vip, "wait_s");
		const double seconds = wait.is_number() ? std::ceil(wait.get<double>()) : 0;
		table.row({text_of(vip, "vip"), text_of(vip, "address"), text_of(vip, "state"),
			   text_of(vip, "health"),
			   seconds > 0 ? fmt::format("{:.0f} s", seconds) : "", why_of(vip)});
	}
	if (!table.empty())
		out += "\n" + table.text(2);
}

void add_failing(Table &table, const std::string &owner, const json &checks)
{
	for (const json &check : checks) {
		if (text_of(check, "health") == "up" && member(check, "good") == json(true))
			continue;
		std::string where = text_of(check, "address");
		if (const std::string through = text_of(check, "through"); !through.empty())
			where += " through " + through;
		table.row({owner, text_of(check, "check"), where, text_of(check, "health"),
			   one_line(text_of(check, "detail"))});
	}
}

void add_checks(std::string &out, const json &status)
{
	Table table({{"FAILING CHECK OF"}, {"CHECK"}, {"ADDRESS"}, {"HEALTH"}, {"LAST RESULT"}});
	for (const json &vip : member(status, "vips"))
		add_failing(table, text_of(vip, "vip"), member(vip, "checks"));
	for (const json &pool : member(status, "pools"))
		for (const json &backend : member(pool, "backends"))
			add_failing(table,
				    text_of(pool, "pool") + "/" + text_of(backend, "backend"),
				    member(backend, "checks"));
	if (!table.empty())
		out += "\n" + table.text(2);
}

} // namespace

std::string agent_text(const json &status)
{
	const json &problems = member(status, "problems");
	const json &pid = member(status, "pid");
	std::string out = fmt::format(
		"agent: {}, process {}\n",
		problems.empty() ? std::string("ok")
				 : "degraded: " + count_text(problems.size(), "problem"),
		pid.is_number() ? pid.dump() : "unknown");
	for (const json &problem : problems)
		if (problem.is_string())
			out += fmt::format("  problem     {}\n",
					   one_line(problem.get<std::string>()));
	if (const json &bird = member(status, "bird"); bird.is_object()) {
		const json &established = member(bird, "established");
		out += fmt::format("  bird        {}", text_of(bird, "state"));
		if (established.is_number())
			out += fmt::format(", {} of {} sessions established", established.dump(),
					   member(bird, "configured").dump());
		out += "\n";
	}
	if (const std::string load = text_of(member(status, "load"), "reason"); !load.empty())
		out += fmt::format("  overload    {}\n", one_line(load));
	add_vips(out, status);
	add_checks(out, status);
	return out;
}

} // namespace anycast::render
