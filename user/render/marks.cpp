// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/marks.h"

#include <algorithm>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

std::string end_text(const Address &address, std::uint16_t port)
{
	return port == 0 ? address.text() : Endpoint{address, port}.text();
}

std::string protocol_text(std::uint8_t protocol)
{
	return protocol == 6 ? " tcp" : protocol == 17 ? " udp" : "";
}

std::string flow_text(const MarkKey &key)
{
	return fmt::format("{} > {}{}", end_text(key.client.value_or(Address()), key.client_port),
			   end_text(key.vip, key.port), protocol_text(key.protocol));
}

std::string vip_text(const std::string &name, const MarkKey &key)
{
	return name.empty() ? end_text(key.vip, key.port) + protocol_text(key.protocol) : name;
}

double rate_of(std::uint64_t lost, std::uint64_t of)
{
	return static_cast<double>(lost) / static_cast<double>(of);
}

ordered_json text_or_null(const std::string &text)
{
	return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

std::vector<std::string> cells_of(const MarkLoss &loss)
{
	const bool known = loss.lost.has_value();
	return {loss.key.edge.text(),
		vip_text(loss.vip, loss.key),
		loss.backend.empty() ? loss.key.backend.text() : loss.backend,
		known ? std::to_string(*loss.lost) : "-",
		known ? std::to_string(loss.of) : "",
		known && loss.of != 0 ? percent_text(rate_of(*loss.lost, loss.of)) : "",
		known ? "exact/altmark" : loss.why};
}

std::vector<Column> columns()
{
	return {{"EDGE"},
		{"VIP"},
		{"BACKEND"},
		{"LOST", Align::kRight},
		{"OF", Align::kRight},
		{"RATE", Align::kRight},
		{"KIND"}};
}

} // namespace

ordered_json mark_figure_json(const MarkLoss &loss)
{
	const bool rate = loss.lost && loss.of != 0;
	return {{"value", loss.lost ? ordered_json(*loss.lost) : ordered_json(nullptr)},
		{"kind", loss.lost ? "exact" : "unsupported"},
		{"basis", "altmark"},
		{"of", loss.of},
		{"rate", rate ? ordered_json(rate_of(*loss.lost, loss.of)) : ordered_json(nullptr)},
		{"why", text_or_null(loss.why)}};
}

ordered_json mark_loss_json(const MarkLoss &loss)
{
	ordered_json json;
	if (loss.key.client)
		json["flow"] = {{"source", loss.key.client->text()},
				{"source_port", loss.key.client_port},
				{"destination", loss.key.vip.text()},
				{"destination_port", loss.key.port},
				{"protocol", loss.key.protocol}};
	json["edge"] = loss.key.edge.text();
	json["vip"] = vip_text(loss.vip, loss.key);
	json["backend"] = loss.key.backend.text();
	if (!loss.backend.empty())
		json["backend_name"] = loss.backend;
	json["lb_backend_lost"] = mark_figure_json(loss);
	json["sent"] = loss.counts ? ordered_json(loss.sent) : ordered_json(nullptr);
	json["received"] = loss.counts ? ordered_json(loss.received) : ordered_json(nullptr);
	return json;
}

ordered_json mark_join_json(const MarkJoin &join, std::size_t limit)
{
	const std::size_t shown =
		limit == 0 ? join.flows.size() : std::min(limit, join.flows.size());
	ordered_json flows = ordered_json::array(), sums = ordered_json::array();
	for (std::size_t i = 0; i < shown; i++)
		flows.push_back(mark_loss_json(join.flows[i]));
	for (const MarkLoss &sum : join.sums)
		sums.push_back(mark_loss_json(sum));
	return {{"flows", std::move(flows)},
		{"total", join.flows.size()},
		{"services", std::move(sums)},
		{"notes", join.notes}};
}

std::string mark_join_text(const MarkJoin &join, std::size_t limit)
{
	std::string text;

	if (join.sums.empty() && join.flows.empty())
		text = "no edge's report has marked packets\n";
	if (!join.sums.empty()) {
		Table table(columns());
		for (const MarkLoss &sum : join.sums)
			table.row(cells_of(sum));
		text += table.text();
	}
	if (!join.flows.empty()) {
		std::vector<Column> all = columns();
		all.insert(all.begin(), {"FLOW"});
		Table table(all);
		const std::size_t shown =
			limit == 0 ? join.flows.size() : std::min(limit, join.flows.size());
		for (std::size_t i = 0; i < shown; i++) {
			std::vector<std::string> cells = cells_of(join.flows[i]);
			cells.insert(cells.begin(), flow_text(join.flows[i].key));
			table.row(std::move(cells));
		}
		text += (text.empty() ? "" : "\n") + table.text() +
			more_text(shown, join.flows.size());
	}
	for (const std::string &note : join.notes)
		text += "note: " + note + "\n";
	return text;
}

namespace {

ordered_json sum_json(const MarkSum &sum, const std::string &why_none)
{
	const std::string &why = why_none.empty() ? sum.why : why_none;
	const bool known = why.empty();
	ordered_json json{{"edge", sum.key.edge.text()},
			  {"vip", vip_text(sum.vip, sum.key)},
			  {"backend", sum.key.backend.text()},
			  {"backend_name", text_or_null(sum.backend)}};
	json["lb_backend_lost"] = {
		{"value", known ? ordered_json(sum.lost) : ordered_json(nullptr)},
		{"kind", known ? "exact" : "unsupported"},
		{"basis", "altmark"},
		{"of", known ? sum.of : 0},
		{"rate", known && sum.of != 0 ? ordered_json(rate_of(sum.lost, sum.of))
					      : ordered_json(nullptr)},
		{"since", sum.since ? ordered_json(*sum.since) : ordered_json(nullptr)},
		{"why", text_or_null(why)}};
	json["so_far"] = {{"lost", sum.lost}, {"of", sum.of}};
	return json;
}

std::string backend_of(const ordered_json &row)
{
	const ordered_json &name = row.at("backend_name");
	return name.is_string() ? name.get<std::string>() : row.at("backend").get<std::string>();
}

// "b1" names web/b1 too.
bool is_backend(const ordered_json &row, const std::string &wanted)
{
	const std::string name = backend_of(row);
	return wanted.empty() || name == wanted || name.ends_with("/" + wanted);
}

} // namespace

ordered_json pulled_json(const std::vector<MarkSum> &sums, const std::vector<MarkSource> &from,
			 const std::vector<std::pair<std::string, std::string>> &not_marked,
			 const std::string &why)
{
	ordered_json services = ordered_json::array(), others = ordered_json::array(),
		     sources = ordered_json::array();
	for (const MarkSum &sum : sums)
		services.push_back(sum_json(sum, why));
	for (const auto &[vip, reason] : not_marked)
		others.push_back({{"vip", vip}, {"why", reason}});
	for (const MarkSource &source : from)
		sources.push_back({{"from", source.from.text()},
				   {"node", text_or_null(source.node)},
				   {"answers", source.why.empty()},
				   {"why", text_or_null(source.why)}});
	return {{"services", std::move(services)},
		{"not_marked", std::move(others)},
		{"from", std::move(sources)},
		{"why", text_or_null(why)}};
}

std::string pulled_text(const ordered_json &pulled, const std::string &vip,
			const std::string &backend, std::size_t limit)
{
	Table table({{"VIP"},
		     {"BACKEND"},
		     {"LOST", Align::kRight},
		     {"OF", Align::kRight},
		     {"RATE", Align::kRight},
		     {"KIND"}});
	std::size_t shown = 0, total = 0;
	for (const ordered_json &row : pulled.at("services")) {
		if ((!vip.empty() && row.at("vip") != vip) || !is_backend(row, backend))
			continue;
		total++;
		if (limit != 0 && shown == limit)
			continue;
		shown++;
		const ordered_json &figure = row.at("lb_backend_lost"), &so_far = row.at("so_far");
		const auto lost = so_far.at("lost").get<std::uint64_t>(),
			   of = so_far.at("of").get<std::uint64_t>();
		std::string kind = "exact/altmark";
		if (!figure.at("why").is_null())
			kind = figure.at("why").get<std::string>() +
			       (of != 0 ? fmt::format(" (until then {} of {})", lost, of) : "");
		const bool known = figure.at("value").is_number();
		table.row({row.at("vip").get<std::string>(), backend_of(row),
			   known ? std::to_string(lost) : "-", known ? std::to_string(of) : "",
			   known && of != 0 ? percent_text(rate_of(lost, of)) : "", kind});
	}
	std::string text = "\nbetween this node and its backends";
	if (!pulled.at("why").is_null())
		text += ": " + pulled.at("why").get<std::string>();
	else if (total == 0)
		text += ": nothing was sent there";
	text += "\n";
	return total == 0 ? text : text + table.text() + more_text(shown, total);
}

} // namespace anycast::render
