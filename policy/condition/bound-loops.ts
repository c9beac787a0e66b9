import type { Expr } from './check-condition.ts';

/** Name of the function that every loop goes through; no author can write it. */
export const BOUNDED = '@bounded';

/** The same expression, in which whatever is gone through is counted first. Changes it in place: it is the parser's, and new. */
export function boundLoops(expr: Expr): Expr {
  const { exprKind } = expr;
  switch (exprKind.case) {
    case 'selectExpr':
      if (exprKind.value.operand !== undefined) boundLoops(exprKind.value.operand);
      break;
    case 'callExpr':
      if (exprKind.value.target !== undefined) boundLoops(exprKind.value.target);
      exprKind.value.args.forEach(boundLoops);
      break;
    case 'listExpr':
      exprKind.value.elements.forEach(boundLoops);
      break;
    case 'structExpr':
      for (const { keyKind, value } of exprKind.value.entries) {
        if (keyKind.case === 'mapKey') boundLoops(keyKind.value);
        if (value !== undefined) boundLoops(value);
      }
      break;
    case 'comprehensionExpr': {
      const { iterRange, accuInit, loopCondition, loopStep, result } = exprKind.value;
      for (const part of [iterRange, accuInit, loopCondition, loopStep, result])
        if (part !== undefined) boundLoops(part);
      if (iterRange !== undefined) exprKind.value.iterRange = counted(iterRange);
    }
  }
  return expr;
}

function counted(range: Expr): Expr {
  return {
    $typeName: 'cel.expr.Expr',
    id: range.id,
    exprKind: { case: 'callExpr', value: { $typeName: 'cel.expr.Expr.Call', function: BOUNDED, args: [range] } },
  };
}
