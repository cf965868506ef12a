// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/dns.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <random>
#include <utility>

#include <fmt/format.h>

namespace anycast::health {

namespace {

constexpr std::size_t kHeader = 12;
constexpr std::uint16_t kTypeA = 1, kTypeAaaa = 28;
constexpr std::pair<std::string_view, std::uint16_t> kTypes[] = {
	{"A", kTypeA}, {"NS", 2},   {"CNAME", 5}, {"SOA", 6},	       {"PTR", 12},
	{"MX", 15},    {"TXT", 16}, {"SRV", 33},  {"AAAA", kTypeAaaa},
};
constexpr std::string_view kCodes[] = {"NOERROR",  "FORMERR", "SERVFAIL",
				       "NXDOMAIN", "NOTIMP",  "REFUSED"};

std::uint16_t big_endian(std::span<const std::uint8_t> bytes, std::size_t at)
{
	return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// Behind the name at `at`; nothing if it does not end inside the message.
std::optional<std::size_t> skip_name(std::span<const std::uint8_t> bytes, std::size_t at)
{
	while (at < bytes.size()) {
		const std::uint8_t length = bytes[at];
		if ((length & 0xc0) == 0xc0) // a pointer ends the name, RFC 1035 §4.1.4
			return at + 2 <= bytes.size() ? std::optional(at + 2) : std::nullopt;
		if (length & 0xc0)
			return std::nullopt;
		at += length + std::size_t{1};
		if (length == 0)
			return at;
	}
	return std::nullopt;
}

bool same_question(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b)
{
	return a.size() == b.size() && std::ranges::equal(a, b, [](std::uint8_t x, std::uint8_t y) {
		       return std::tolower(x) == std::tolower(y);
	       });
}

Address address_of(std::span<const std::uint8_t> data)
{
	ax_addr raw{};
	if (data.size() == 4) {
		raw.bytes[10] = raw.bytes[11] = 0xff;
		std::memcpy(raw.bytes + 12, data.data(), 4);
	} else {
		std::memcpy(raw.bytes, data.data(), 16);
	}
	return Address(raw);
}

struct Answers {
	bool whole = false; // all records were inside the message
	std::vector<Address> addresses;
};

Answers read_answers(std::span<const std::uint8_t> bytes, std::size_t at, unsigned count)
{
	Answers answers;
	for (unsigned i = 0; i < count; i++) {
		const auto fields = skip_name(bytes, at);
		if (!fields || *fields + 10 > bytes.size())
			return answers;
		const std::uint16_t type = big_endian(bytes, *fields);
		const std::size_t length = big_endian(bytes, *fields + 8);
		const std::size_t data = *fields + 10;
		if (data + length > bytes.size())
			return answers;
		if ((type == kTypeA && length == 4) || (type == kTypeAaaa && length == 16))
			answers.addresses.push_back(address_of(bytes.subspan(data, length)));
		at = data + length;
	}
	answers.whole = true;
	return answers;
}

} // namespace

std::optional<std::uint16_t> dns_record_type(std::string_view name)
{
	for (const auto &[word, number] : kTypes)
		if (word == name)
			return number;
	return std::nullopt;
}

std::vector<std::uint8_t> dns_question(std::uint16_t id, std::string_view name, std::uint16_t type)
{
	const auto high = [](std::uint16_t v) { return static_cast<std::uint8_t>(v >> 8); };
	const auto low = [](std::uint16_t v) { return static_cast<std::uint8_t>(v); };
	// Recursion desired; one question.
	std::vector<std::uint8_t> out{high(id), low(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
	if (name.ends_with('.'))
		name.remove_suffix(1);
	if (name.size() > 253)
		return {};
	while (!name.empty()) {
		const std::string_view label = name.substr(0, name.find('.'));
		if (label.empty() || label.size() > 63 || label.size() + 1 == name.size())
			return {};
		out.push_back(static_cast<std::uint8_t>(label.size()));
		out.insert(out.end(), label.begin(), label.end());
		name.remove_prefix(std::min(label.size() + 1, name.size()));
	}
	out.insert(out.end(), {0, high(type), low(type), 0, 1});
	return out;
}

std::optional<Outcome> judge_dns(std::span<const std::uint8_t> question,
				 std::span<const std::uint8_t> answer,
				 const std::optional<Address> &expect)
{
	const std::size_t end = question.size();
	if (answer.size() < end || big_endian(answer, 0) != big_endian(question, 0) ||
	    !(answer[2] & 0x80) || big_endian(answer, 4) != 1 ||
	    !same_question(answer.subspan(kHeader, end - kHeader), question.subspan(kHeader)))
		return std::nullopt;
	const unsigned code = answer[3] & 0xf;
	if (code != 0)
		return Outcome{false, code < std::size(kCodes) ? std::string(kCodes[code])
							       : fmt::format("rcode {}", code)};
	const unsigned count = big_endian(answer, 6);
	if (answer[2] & 0x02 && !expect) // truncated: it serves, which is the question here
		return Outcome{true, "truncated answer"};
	const Answers answers = read_answers(answer, end, count);
	if (!answers.whole)
		return Outcome{false, "a malformed answer"};
	if (count == 0)
		return Outcome{false, "no record of that type"};
	if (expect && std::ranges::find(answers.addresses, *expect) == answers.addresses.end())
		return Outcome{false, fmt::format("{} is not among the {} answers", expect->text(),
						  count)};
	return Outcome{true, fmt::format("{} answers", count)};
}

Started start_dns(Loop &loop, TunnelProber &tunnel, const Target &target, Done done)
{
	static std::random_device entropy; // a guessable id could be answered by others
	const auto id = static_cast<std::uint16_t>(entropy());
	const CheckSpec &spec = target.spec;
	auto question = dns_question(id, spec.name, dns_record_type(spec.record).value_or(kTypeA));
	if (question.empty())
		return fail(Exit::kUsage, fmt::format("{}: not a DNS name", spec.name));
	auto judge = [question,
		      expect = Address::parse(spec.expect)](std::span<const std::uint8_t> answer) {
		return judge_dns(question, answer, expect);
	};
	return start_exchange(loop, tunnel, target, question, std::move(judge), std::move(done));
}

} // namespace anycast::health
