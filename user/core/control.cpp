// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/control.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace anycast {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kOrders{"auto", "announce", "drain", "withdraw"};
constexpr double kLongest = 366.0 * 86400; // an order that is meant to end does so within a year

std::string one_line(const Json &json)
{
	return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

tl::unexpected<Error> malformed(const char *what, const std::string &why)
{
	return fail(Exit::kFailed, fmt::format("{}: {}", what, why));
}

// One line: an object of our version.
Result<Json> object_from(std::string_view line, const char *what)
{
	Json json = Json::parse(line, nullptr, false);
	if (json.is_discarded() || !json.is_object())
		return malformed(what, "not a line with a JSON object");
	const auto version = json.find("version");
	if (version == json.end() || *version != kControlVersion)
		return malformed(what, fmt::format("not of version {}", kControlVersion));
	return json;
}

} // namespace

std::string_view order_name(OrderKind kind)
{
	return kOrders.at(static_cast<std::size_t>(kind));
}

std::optional<OrderKind> order_from(std::string_view name)
{
	const auto found = std::ranges::find(kOrders, name);
	if (found == kOrders.end())
		return std::nullopt;
	return static_cast<OrderKind>(found - kOrders.begin());
}

Json order_to_json(const Order &order)
{
	return {{"kind", order_name(order.kind)},
		{"reason", order.reason},
		{"since", order.since},
		{"expires", order.expires ? Json(*order.expires) : Json()}};
}

Result<Order> order_from_json(const Json &json)
{
	try {
		const auto kind = order_from(json.at("kind").get<std::string>());
		if (!kind)
			return malformed("order", "unknown kind");
		Order order{*kind, json.at("reason").get<std::string>(),
			    json.at("since").get<double>(), std::nullopt};
		if (!json.at("expires").is_null())
			order.expires = json["expires"].get<double>();
		return order;
	} catch (const Json::exception &error) {
		return malformed("order", error.what());
	}
}

Json results_to_json(const std::vector<OrderResult> &results)
{
	Json list = Json::array();
	for (const OrderResult &result : results)
		list.push_back({{"vip", result.vip},
				{"address", result.address.text()},
				{"state", result.state},
				{"changed", result.changed},
				{"in_force", result.in_force},
				{"wait", result.wait},
				{"problem", result.problem}});
	return {{"vips", std::move(list)}};
}

Result<std::vector<OrderResult>> results_from_json(const Json &json)
{
	constexpr const char *kWhat = "the agent's reply";
	std::vector<OrderResult> results;
	try {
		for (const Json &one : json.at("vips")) {
			const auto address = Address::parse(one.at("address").get<std::string>());
			if (!address)
				return malformed(kWhat, "not an address");
			results.push_back(
				{one.at("vip").get<std::string>(), *address,
				 one.at("state").get<std::string>(), one.at("changed").get<bool>(),
				 one.at("in_force").get<bool>(), one.at("wait").get<double>(),
				 one.at("problem").get<std::string>()});
		}
	} catch (const Json::exception &error) {
		return malformed(kWhat, error.what());
	}
	return results;
}

OrderKind ControlRequest::order_kind() const
{
	if (command == "withdraw")
		return OrderKind::kWithdraw;
	if (command == "drain")
		return OrderKind::kDrain;
	return force ? OrderKind::kAnnounce : OrderKind::kAuto;
}

std::string to_line(const ControlRequest &request)
{
	Json json{{"version", kControlVersion}, {"command", request.command}};
	if (!request.vip.empty())
		json["vip"] = request.vip;
	if (!request.reason.empty())
		json["reason"] = request.reason;
	if (request.seconds)
		json["seconds"] = *request.seconds;
	if (request.force)
		json["force"] = true;
	if (request.all)
		json["all"] = true;
	return one_line(json);
}

Result<ControlRequest> request_from_line(std::string_view line)
{
	constexpr const char *kWhat = "request";
	const auto json = object_from(line, kWhat);
	if (!json)
		return tl::unexpected(json.error());
	ControlRequest request;
	try {
		request.command = json->at("command").get<std::string>();
		request.vip = json->value("vip", "");
		request.reason = json->value("reason", "");
		request.force = json->value("force", false);
		request.all = json->value("all", false);
		if (json->contains("seconds"))
			request.seconds = json->at("seconds").get<double>();
	} catch (const Json::exception &error) {
		return malformed(kWhat, error.what());
	}
	if (request.seconds && !(*request.seconds > 0 && *request.seconds <= kLongest))
		return malformed(kWhat, "seconds: expected 1 s to 366 days");
	return request;
}

std::string to_line(const ControlReply &reply)
{
	Json json{{"version", kControlVersion}, {"ok", reply.status.has_value()}};
	if (reply.status) {
		json["result"] = reply.result.is_null() ? Json::object() : reply.result;
	} else {
		json["exit"] = static_cast<int>(reply.status.error().kind);
		json["error"] = reply.status.error().what;
		json["hint"] = reply.status.error().hint;
	}
	return one_line(json);
}

Result<ControlReply> reply_from_line(std::string_view line)
{
	constexpr const char *kWhat = "the agent's reply";
	auto json = object_from(line, kWhat);
	if (!json)
		return tl::unexpected(json.error());
	ControlReply reply;
	try {
		if (json->at("ok").get<bool>()) {
			reply.result = json->at("result");
			if (!reply.result.is_object())
				return malformed(kWhat, "result is not an object");
			return reply;
		}
		const int exit = json->at("exit").get<int>();
		if (exit < static_cast<int>(Exit::kFailed) ||
		    exit > static_cast<int>(Exit::kUnsupported))
			return malformed(kWhat, "an exit code that does not exist");
		reply.status = fail(static_cast<Exit>(exit), json->at("error").get<std::string>(),
				    json->value("hint", ""));
	} catch (const Json::exception &error) {
		return malformed(kWhat, error.what());
	}
	return reply;
}

} // namespace anycast
