// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What commands and the agent say to each other over its unix socket: one line of JSON each way,
// then the agent closes.
//
//   {"version":1,"command":"drain","vip":"www","reason":"kernel update","seconds":3600}
//   {"version":1,"ok":true,"result":{...}}
//   {"version":1,"ok":false,"exit":2,"error":"...","hint":"..."}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/address.h"
#include "util/result.h"

namespace anycast {

inline constexpr int kControlVersion = 1;
inline constexpr std::size_t kMaxControlRequest = 4096; // bytes, with the line feed
inline constexpr std::size_t kMaxControlReply = 8 << 20;

// What somebody has ordered for a VIP's address; wins over health, canary and overload.
enum class OrderKind {
	kAuto,	   // none: health decides
	kAnnounce, // whatever the checks and damping say (announce --force)
	kDrain,
	kWithdraw,
};
std::string_view order_name(OrderKind kind); // "auto", "announce", "drain", "withdraw"
std::optional<OrderKind> order_from(std::string_view name);

struct Order {
	OrderKind kind = OrderKind::kAuto;
	std::string reason;	       // "" if none was given
	double since = 0;	       // seconds since 1970
	std::optional<double> expires; // the same
	[[nodiscard]] bool active(double now) const
	{
		return kind != OrderKind::kAuto && (!expires || now < *expires);
	}
	bool operator==(const Order &) const = default;
};

nlohmann::ordered_json order_to_json(const Order &order);
Result<Order> order_from_json(const nlohmann::ordered_json &json);

struct ControlRequest {
	std::string command{}; // "announce", "withdraw", "drain"; "status", "bird", "reload", ...
	std::string vip{};     // name or address; "" with "all"
	std::string reason{};
	std::optional<double> seconds{}; // how long the order holds
	bool force = false, all = false;
	[[nodiscard]] OrderKind order_kind() const; // of "announce", "withdraw" and "drain"
	bool operator==(const ControlRequest &) const = default;
};

// How a VIP's route stands after an order: the result of "announce", "withdraw" and "drain" is
// {"vips":[...]}, one for each address.
struct OrderResult {
	std::string vip; // names, comma-separated
	Address address;
	std::string state;     // "announced", "draining", "withdrawn", "waiting"
	bool changed = false;  // by this order
	bool in_force = false; // BIRD has confirmed it
	double wait = 0;       // seconds until it will be announced
	std::string problem;   // why it is not in force, or waits
	bool operator==(const OrderResult &) const = default;
};

nlohmann::ordered_json results_to_json(const std::vector<OrderResult> &results);
Result<std::vector<OrderResult>> results_from_json(const nlohmann::ordered_json &json);

std::string to_line(const ControlRequest &request);
Result<ControlRequest> request_from_line(std::string_view line);

struct ControlReply {
	Status status;
	nlohmann::ordered_json result; // an object
};

std::string to_line(const ControlReply &reply);
Result<ControlReply> reply_from_line(std::string_view line);

} // namespace anycast
