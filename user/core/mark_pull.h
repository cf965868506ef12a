// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// lb_backend_lost as an edge's agent sums it up, from what its backends' agents answer every two
// seconds. By service and backend; only what came between two answers of which both sides counted
// through is added. So what begins anew on either side costs an interval, and never gives a false
// figure; nothing goes back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/endpoint.h"
#include "core/mark_join.h"

namespace anycast {

struct MarkAnswer {
	Endpoint from;
	std::optional<MarkReport> report; // nothing: `why`
	std::string why;
	// When it was asked and had answered, by this node's clock; Unix milliseconds.
	std::int64_t asked = 0, answered = 0;
};

struct MarkSum {
	MarkKey key;
	std::string vip, backend;	   // names, as the edge knows them
	std::uint64_t lost = 0, of = 0;	   // all that was compared; these never go back
	std::optional<std::int64_t> since; // nothing was compared before
	std::string why;		   // it is not measured now; "" if it is
};

class MarkPull {
public:
	// What this node has sent, read after the answers came. One answer for each backend that is
	// asked.
	void add(const MarkReport &edge, const std::vector<MarkAnswer> &answers);
	[[nodiscard]] std::vector<MarkSum> sums() const; // worst first, those not measured last

private:
	// Which counters they are: others, if any of these is another.
	struct Origin {
		std::int64_t sent = 0, edge = 0, backend = 0; // since
		std::optional<std::int64_t> received;	      // since; nothing arrived yet
		std::uint8_t first_sent = 0, first_received = 0;
	};
	struct Base {
		Origin origin;
		std::uint64_t period = 0, sent = 0, received = 0;
		std::uint64_t counted_lost = 0; // since this base was first taken
		std::int64_t ahead = 0; // came after its period was closed, and had counted as lost
	};
	struct Row {
		MarkSum sum;
		std::optional<Base> base;
		std::optional<Endpoint> from; // whose answers have the backend's half
		bool known = false;	      // was it compared before?
	};
	class Halves; // the backends', of one round
	struct Half {
		const MarkAnswer *answer = nullptr;
		const MarkRecord *received = nullptr;
	};

	static bool same(const Origin &a, const Origin &b);
	void account(Row &row, const MarkReport &edge, const MarkRecord &sent, const Half &half);
	static void begin(Row &row, const MarkReport &edge, const Origin &origin,
			  const MarkLoss &loss);
	static void go_on(Row &row, const Origin &origin, const MarkLoss &loss);

	std::map<MarkKey, Row> rows_;
};

} // namespace anycast
